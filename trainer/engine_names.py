"""The engines by the names of the command line; importing it loads none of them."""

from __future__ import annotations

from enum import StrEnum


class EngineName(StrEnum):
    """Where batch work is done."""

    IN_PROCESS = "in-process"
    RAY = "ray"

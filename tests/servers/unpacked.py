"""Programs that ``fetch.sh`` unpacked, and what they need to find the libraries that came with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TREE = Path(__file__).parents[2] / ".servers" / "tree"


def program(name: str) -> Path:
    """The program at ``name`` below the unpacked tree, or below the root of this machine.

    Skips the test where there is none; fails it instead under continuous integration.
    """
    for root in (TREE, Path("/")):
        if (root / name).exists():
            return root / name
    missing = f"/{name} is missing: run tests/servers/fetch.sh"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def environment() -> dict[str, str]:
    """Environment variables for an unpacked program."""
    folders = [*TREE.glob("usr/lib/*-linux-gnu*"), *TREE.glob("lib/*-linux-gnu*"), TREE / "usr/lib"]
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": ":".join(map(str, folders))}

"""What holds for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that runs in this process sets up logging for the process; the next test must not see it."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()

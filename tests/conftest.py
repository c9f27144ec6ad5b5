"""What holds for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

# Under continuous integration the same examples are drawn every time: a find of chance belongs to the change that
# made it, not to the next one. Everywhere else new ones are drawn.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("dev", deadline=None, print_blob=True)
# What `make check` draws, to be fast; `make test` draws all.
hypothesis.settings.register_profile("check", max_examples=20, deadline=None, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")

# Programs that documents tell people to type (curl, swaks), where the machine has none of its own.
os.environ["PATH"] += f":{Path(__file__).parent.parent / '.servers' / 'bin'}"


UNITS = ("tests/filterd/", "tests/house/", "tests/hostile/")
OTHERS = ("slow", "real", "long")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what ``make check`` runs: by folder, before tests are chosen by their marks."""
    for item in items:
        if item.nodeid.startswith(UNITS) and not any(map(item.get_closest_marker, OTHERS)):
            item.add_marker("unit")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that runs in this process sets up logging for the process; the next test must not see it."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()

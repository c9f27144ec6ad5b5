"""A real PostgreSQL, started once for all tests that ask."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.servers import postgres


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a private server; ``postgres.fresh_database`` makes an empty database on it."""
    programs = postgres.find_programs()
    if programs is None:
        message = "no PostgreSQL: run tests/servers/fetch.sh"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with postgres.running(programs) as url:
        yield url

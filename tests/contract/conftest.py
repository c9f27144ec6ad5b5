"""A real PostgreSQL, started once for all tests that ask, and every kind of store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock, MemoryStore
from tests.contract.empty_database import empty_database, empty_template
from tests.contract.stores import KEEP, PATIENCE_SECONDS, Store
from tests.servers import postgres
from tests.servers.postgres import fresh_database


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


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
async def stores(request: pytest.FixtureRequest, clock: FixedClock, tmp_path: Path) -> AsyncIterator[list[Store]]:
    """Two connections to the same empty store."""
    if request.param == "memory":
        memory = MemoryStore(clock)
        yield [memory, memory]
        return
    async with AsyncExitStack() as stack:
        if request.param == "sqlite":
            path = tmp_path / "s.db"
            path.write_bytes(await asyncio.to_thread(empty_database))
            url = f"sqlite:///{path}"
        else:
            server = request.getfixturevalue("postgresql")
            template = await asyncio.to_thread(empty_template, server)
            url = await stack.enter_async_context(fresh_database(server, template))
        opens = [
            SqlStore(database_url(url, ""), clock=clock, keep=KEEP, timeout_seconds=PATIENCE_SECONDS) for _ in range(2)
        ]
        yield [await stack.enter_async_context(store) for store in opens]


@pytest.fixture
def store(stores: list[Store]) -> Store:
    return stores[0]


@pytest.fixture
def other(stores: list[Store]) -> Store:
    return stores[1]

"""Migrations: there and back, what the code says, and several processes at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import URL, text
from sqlalchemy.ext.asyncio import AsyncEngine

from filterd.errors import ConfigError
from filterd.store import migrate
from filterd.store.engine import create_engine, create_file, database_url
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock
from tests.servers.postgres import fresh_database


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[URL]:
    if request.param == "sqlite":
        create_file(tmp_path / "m.db")
        yield database_url(f"sqlite:///{tmp_path}/m.db", "")
        return
    async with fresh_database(request.getfixturevalue("postgresql")) as text:
        yield database_url(text, "")


@pytest.fixture
async def engine(url: URL) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(url, timeout_seconds=10, is_writer=True)
    yield engine
    await engine.dispose()


async def test_migrations_lead_to_what_the_code_says_there_and_back(engine: AsyncEngine) -> None:
    assert await migrate.current(engine) == ""
    await migrate.upgrade(engine)
    assert await migrate.current(engine) == migrate.newest()
    assert await migrate.differences(engine) == []

    await migrate.downgrade(engine, "base")
    assert await migrate.current(engine) == ""
    await migrate.upgrade(engine)

    assert await migrate.differences(engine) == []


async def test_missing_column_is_a_difference(engine: AsyncEngine) -> None:
    await migrate.upgrade(engine)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE verdict DROP COLUMN peer"))

    assert any("peer" in difference for difference in await migrate.differences(engine))


async def test_upgrade_of_an_up_to_date_database_changes_nothing(engine: AsyncEngine) -> None:
    await migrate.upgrade(engine)
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO token VALUES ('a', '[]', 'b', '2026-01-01')"))
    await migrate.upgrade(engine)

    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM token")) == 1


async def test_database_of_a_newer_version_is_refused(engine: AsyncEngine) -> None:
    await migrate.upgrade(engine)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(ConfigError, match="9999"):
        await migrate.upgrade(engine)


async def test_stores_that_start_at_once_find_the_tables_made_once(url: URL) -> None:
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(SqlStore(url, clock=FixedClock())) for _ in range(4)]
        await asyncio.gather(*(store.migrate() for store in stores))

        assert [await store.revision() for store in stores] == [migrate.newest()] * 4


_MIGRATE = """
import asyncio, sys
from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock

async def main():
    async with SqlStore(database_url(sys.argv[1], ""), clock=FixedClock()) as store:
        await store.migrate()

asyncio.run(main())
"""


def test_processes_that_start_at_once_find_the_tables_made_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _MIGRATE, f"sqlite:///{tmp_path}/p.db"]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    errors = [child.communicate() for child in children]

    assert [child.returncode for child in children] == [0] * 4, errors

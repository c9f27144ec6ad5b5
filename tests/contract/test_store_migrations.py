"""Migrations: there and back, what the code says, and several processes at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, insert, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from filterd.core.access import Reach
from filterd.errors import ConfigError
from filterd.review_ports import HeldQuery, VerdictQuery
from filterd.store import held_list, held_rows, history, migrate
from filterd.store.engine import create_engine, create_file, database_url
from filterd.store.schema import HeldRecord, VerdictRecord
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock, an_envelope
from tests.contract.stores import HOLD
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


async def test_recipients_of_what_was_there_before_are_found(engine: AsyncEngine) -> None:
    """Held messages and verdicts of before 0007: for one, for several, and for one with an @ in quotes."""
    await migrate.upgrade(engine, "0006")
    everybody = ("bob@example.net", "Eve@Example.org")
    messages = [
        an_envelope("carol@example.com", *recipients, id=f"{n << 80:032x}")
        for n, recipients in enumerate((everybody[:1], everybody, ('"a@b"@example.net',), ("+15550002",)), 1)
    ]
    prepared = [
        held_rows.prepare(message, b"Subject: x\r\n\r\n", HOLD, pending=False, now=message.received_at)
        for message in messages
    ]
    async with engine.begin() as connection:
        for new in prepared:
            search = "\n".join((new.held["sender"], *new.held["recipients"], new.held["subject"])).lower()
            await connection.execute(insert(HeldRecord).values(new.held | {"search": search}))
            verdict = {name: value for name, value in new.verdict.items() if name != "recipient_domain"}
            await connection.execute(insert(VerdictRecord).values(verdict))
    await migrate.upgrade(engine)

    for reach, found in (
        (Reach(domains=frozenset({"example.net"})), [3, 2, 1]),
        (Reach(domains=frozenset({"example.org"})), [2]),
        (Reach(addresses=frozenset({"15550002"})), [4]),
        (Reach(domains=frozenset({'b"@example.net'})), []),
    ):
        async with engine.connect() as connection:
            held = await connection.run_sync(held_list.listed, HeldQuery(reach=reach))
            verdicts = await connection.run_sync(history.listed, VerdictQuery(reach=reach))
            foreign = await connection.run_sync(held_list.listed, HeldQuery(reach=reach, text="eve@"))
        assert [int(summary.id, 16) >> 80 for summary in held] == found
        assert [int(row.id, 16) >> 80 for row in verdicts] == found
        assert len(foreign) == (found == [2])


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
from filterd.store.schema import HeldRecord, VerdictRecord
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock, an_envelope
from tests.contract.stores import HOLD

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


async def test_migration_adds_only_what_a_daemon_before_it_can_leave_out(engine: AsyncEngine) -> None:
    """A daemon that has not been upgraded yet goes on with the tables of one that has: no row of its is refused."""
    revisions = sorted(migrate._revisions())
    columns: dict[str, dict[str, bool]] = {}
    for revision in revisions:
        await migrate.upgrade(engine, revision)
        async with engine.connect() as connection:
            now = await connection.run_sync(_columns)
        for table, before in columns.items():
            assert before.keys() <= now.get(table, {}).keys(), f"{revision} takes something from {table}"
            needed = [name for name in now[table] if name not in before and now[table][name]]
            assert needed == [], f"{revision} wants in {table} what an older daemon does not write"
        columns = now


def _columns(connection: Connection) -> dict[str, dict[str, bool]]:
    """Table -> column -> whether every new row must say it."""
    found = inspect(connection)
    return {
        table: {
            column["name"]: not column["nullable"] and column["default"] is None and not column.get("autoincrement")
            for column in found.get_columns(table)
        }
        for table in found.get_table_names()
    }

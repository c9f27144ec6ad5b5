"""Connections, their PRAGMAs, their errors, and what survives a killed process."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from filterd.core.envelope import MessageId
from filterd.core.verdict import Action, Decision, Reason
from filterd.errors import ConfigError, StoreFull, StoreUnavailable
from filterd.settings import Config, StoreSettings
from filterd.store import engine as engines
from filterd.store.engine import StorePoisoned, create_engine, create_file, database_url
from filterd.store.sql import SqlStore, open_store
from filterd.testing import FixedClock, a_scan, an_envelope

HOLD = Decision(action=Action.QUARANTINE, reason=Reason.SPAM, scan=a_scan(0.97))
SAFE = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5_000}


def _pragmas(connection: Connection) -> dict[str, object]:
    return {name: connection.scalar(text(f"PRAGMA {name}")) for name in SAFE}


async def unsafe(path: Path, *, is_writer: bool) -> dict[str, object]:
    """The PRAGMAs of a new connection that would let an acknowledged message be lost."""
    create_file(path)
    engine = create_engine(database_url(f"sqlite:///{path}", ""), timeout_seconds=5, is_writer=is_writer)
    try:
        async with engine.connect() as connection:
            found = await connection.run_sync(_pragmas)
    finally:
        await engine.dispose()
    return {name: value for name, value in found.items() if value != SAFE[name]}


@pytest.mark.parametrize("is_writer", [True, False])
async def test_every_connection_flushes_its_commits(tmp_path: Path, *, is_writer: bool) -> None:
    assert await unsafe(tmp_path / "s.db", is_writer=is_writer) == {}


async def test_check_of_the_pragmas_sees_a_store_that_can_lose_mail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pragmas = engines.sqlite_pragmas(5)
    monkeypatch.setattr(engines, "sqlite_pragmas", lambda _: (*pragmas, "PRAGMA synchronous=NORMAL"))

    assert await unsafe(tmp_path / "s.db", is_writer=True) == {"synchronous": 1}


_HOLD_AND_DIE = """
import asyncio, os, signal, sys
from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock, a_scan, an_envelope
from filterd.core.verdict import Action, Decision, Reason

async def main():
    decision = Decision(action=Action.QUARANTINE, reason=Reason.SPAM, scan=a_scan(0.97))
    async with SqlStore(database_url(sys.argv[1], ""), clock=FixedClock()) as store:
        await store.migrate()
        await asyncio.gather(*(
            store.hold(an_envelope(id=f"{n << 80:032x}"), b"%d" % n * 1000, decision) for n in range(1, 21)
        ))
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_held_message_survives_a_process_killed_right_after(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    child = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _HOLD_AND_DIE, f"sqlite:///{path}"], check=False, capture_output=True
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()

    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    async with SqlStore(database_url(f"sqlite:///{path}", ""), clock=FixedClock()) as store:
        assert len(await store.list_held()) == 20
        assert (await store.held(MessageId(f"{7 << 80:032x}"))).raw == b"7" * 1000


async def test_database_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    config = Config.model_validate({"server": {"state_dir": str(tmp_path / "state")}})
    async with open_store(config) as store:
        await store.hold(an_envelope(), b"secret", HOLD)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}

    assert set(modes.values()) == {0o600}, modes
    assert "filterd.db-wal" in modes


async def test_erased_address_is_not_left_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    for address in ("alice@example.org", "dave@example.org"):
        async with SqlStore(database_url(f"sqlite:///{path}", ""), clock=FixedClock()) as store:
            await store.migrate()
            for n in range(1, 50):
                await store.hold(an_envelope(address, id=f"{n << 80:032x}"), b"%d" % n, HOLD)
            if address.startswith("dave"):
                await store.erase("dave@example.org", "cli")

    content = _all_octets(tmp_path)
    assert b"alice@example.org" in content
    assert b"dave@example.org" not in content


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://u:p@h/d", "postgresql+asyncpg"),
        ("postgres://u:p@h/d", "postgresql+asyncpg"),
        ("postgresql+asyncpg://h/d", "postgresql+asyncpg"),
        ("sqlite:////tmp/x.db", "sqlite+aiosqlite"),
        ("", "sqlite+aiosqlite"),
    ],
)
def test_url_gets_the_driver_we_use(url: str, driver: str) -> None:
    assert database_url(url, "/var/lib/filterd").drivername == driver


@pytest.mark.parametrize("url", ["mysql://h/d", "nonsense", "postgresql+psycopg2://h/d", "sqlite://"])
def test_url_of_another_database_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match=r"store\.url"):
        database_url(url, "/var/lib/filterd")


@pytest.mark.parametrize(
    "url",
    ["postgresql://user:hunter2@127.0.0.1:1/name", "sqlite:////proc/none/s.db", "sqlite:////nonexistent/folder/s.db"],
)
async def test_unreachable_database_is_one_clear_line(url: str) -> None:
    async with SqlStore(database_url(url, ""), clock=FixedClock(), timeout_seconds=2) as store:
        for attempt in (store.ping(), store.hold(an_envelope(), b"x", HOLD), store.list_held()):
            with pytest.raises(StoreUnavailable) as caught:
                await attempt
            assert caught.value.detail.startswith("database ")
            assert "\n" not in caught.value.detail
            assert "hunter2" not in caught.value.detail


async def test_broken_file_is_unavailable_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"this is not a database" * 100)
    async with SqlStore(database_url(f"sqlite:///{path}", ""), clock=FixedClock()) as store:
        with pytest.raises(StoreUnavailable, match="not a database"):
            await store.migrate()
    assert path.read_bytes() == b"this is not a database" * 100


async def test_full_database_is_store_full_and_stays_readable(tmp_path: Path) -> None:
    async with SqlStore(database_url(f"sqlite:///{tmp_path}/s.db", ""), clock=FixedClock()) as store:
        await store.migrate()
        await store.hold(an_envelope(), b"first", HOLD)
        await store._write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=60").close())

        with pytest.raises(StoreFull):
            await store.hold(an_envelope("b@example.org", id="2" * 32), _noise(1_000_000), HOLD)
        assert len(await store.list_held()) == 1


def _all_octets(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


def _noise(size: int) -> bytes:
    """Octets that do not compress."""
    return b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(size // 32))


async def test_little_room_is_store_full(tmp_path: Path) -> None:
    url = database_url(f"sqlite:///{tmp_path}/s.db", "")
    async with SqlStore(url, clock=FixedClock(), min_free_bytes=1 << 60) as store:
        with pytest.raises(StoreFull):
            store.check_room()


async def test_failed_flush_stops_all_promises_until_restart(tmp_path: Path) -> None:
    """Fsync reports an error once; the next one may claim success for pages that are gone."""

    def fsync_fails(_connection: Connection) -> None:
        raise _flush_error()

    async with SqlStore(database_url(f"sqlite:///{tmp_path}/s.db", ""), clock=FixedClock()) as store:
        await store.migrate()
        with pytest.raises(StorePoisoned):
            await store._write(fsync_fails)

        with pytest.raises(StorePoisoned, match="restart"):
            await store.hold(an_envelope(), b"x", HOLD)


def _flush_error() -> Exception:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    return OperationalError("COMMIT", {}, error)


async def test_write_locked_out_by_another_process_is_unavailable_and_recovers(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    url = database_url(f"sqlite:///{path}", "")
    states: list[bool] = []
    async with SqlStore(
        url, clock=FixedClock(), timeout_seconds=1.0, on_state=lambda is_up, _: states.append(is_up)
    ) as store:
        await store.migrate()
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await store.hold(an_envelope(), b"x", HOLD)
        assert await store.list_held() == ()
        blocker.execute("ROLLBACK")
        blocker.close()

        # What was not committed in time may have been since: the sender's retry finds one message either way.
        for _ in range(50):
            try:
                await store.hold(an_envelope(), b"x", HOLD)
                break
            except StoreUnavailable:
                await asyncio.sleep(0.05)
        assert len(await store.list_held()) == 1
    assert states in ([], [False, True])


def test_defaults_name_a_file_in_the_state_folder() -> None:
    assert not StoreSettings().url
    assert database_url("", "/var/lib/filterd").database == "/var/lib/filterd/filterd.db"

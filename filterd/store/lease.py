"""A task that must not run twice at once, wherever the database is shared.

On PostgreSQL it is an advisory lock of the session, on SQLite, whose users are on one host, a lock on a file beside the
database (flock). Both end with the process that holds them, however it ends: nothing has to run out, and no clock is
trusted. Source: PostgreSQL manual, "Advisory Locks". A pooler that gives each transaction another session (pgbouncer in
transaction mode) cannot hold one.
"""

from __future__ import annotations

import asyncio
import fcntl
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from filterd.errors import StoreUnavailable
from filterd.store.engine import create_engine, create_file, sqlite_path, translated

_SPACE = 0x66696C74
"""First half of the lock's number, so that ours meet no other program's."""
_TAKE = "SELECT pg_try_advisory_lock(:space, :key)"
_IS_OURS = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = :space AND objid = :key "
    "AND pid = pg_backend_pid() AND granted"
)


class Lease:
    """Held until its context ends or the process does."""

    def check(self) -> None:
        """Raises StoreUnavailable when it was lost; asking keeps an idle connection alive. Once a minute is fine."""


@contextmanager
def lease(url: URL, name: str, *, timeout_seconds: float = 5.0) -> Iterator[Lease | None]:
    """The lease of that name on the database at ``url``, None while someone else has it. Raises StoreUnavailable."""
    path = sqlite_path(url)
    held = _of_session(url, name, timeout_seconds) if path is None else _of_file(path, name)
    with held as found:
        yield found


@contextmanager
def _of_file(database: Path, name: str) -> Iterator[Lease | None]:
    path = database.with_name(f"{database.name}.{name}.lock")
    create_file(path)
    try:
        file = path.open("r+b")
    except OSError as exc:
        raise StoreUnavailable(f"lock {path}: {exc.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield Lease()


class _Session(Lease):
    """An advisory lock. Whoever has it works outside of the event loop, which runs only while it is asked."""

    def __init__(self, runner: asyncio.Runner, connection: AsyncConnection, key: int, shown: str) -> None:
        self._runner = runner
        self._connection = connection
        self._key = key
        self._shown = shown

    def check(self) -> None:
        with translated(self._shown):
            found = self._runner.run(_scalar(self._connection, _IS_OURS, self._key))
        if not found:
            raise StoreUnavailable(f"database {self._shown}: the lock went with its connection")


@contextmanager
def _of_session(url: URL, name: str, timeout_seconds: float) -> Iterator[Lease | None]:
    engine = create_engine(url, timeout_seconds=timeout_seconds, is_writer=True)
    shown, key = url.render_as_string(hide_password=True), zlib.crc32(name.encode()) & 0x7FFFFFFF
    with asyncio.Runner() as runner:
        try:
            with translated(shown):
                connection = runner.run(_connected(engine))
                is_ours = runner.run(_scalar(connection, _TAKE, key))
            try:
                yield _Session(runner, connection, key, shown) if is_ours else None
            finally:
                runner.run(connection.close())
        finally:
            runner.run(engine.dispose())


async def _connected(engine: AsyncEngine) -> AsyncConnection:
    """A connection without a transaction, which would keep the database from cleaning up for as long as it lasts."""
    return await (await engine.connect()).execution_options(isolation_level="AUTOCOMMIT")


async def _scalar(connection: AsyncConnection, statement: str, key: int) -> object:
    return await connection.scalar(text(statement), {"space": _SPACE, "key": key})

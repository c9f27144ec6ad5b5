"""Connections: SQLite with its PRAGMAs, PostgreSQL, and the translation of their errors into ours.

SQLite runs with ``journal_mode=WAL`` and ``synchronous=FULL``: with NORMAL a power cut loses rows that were
committed (sqlite.org/pragma.html#pragma_synchronous). Several processes share the file; writes take the lock at once
(``BEGIN IMMEDIATE``), because a reader that turns into a writer cannot wait for it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, make_url
from sqlalchemy import create_engine as create_sync_engine
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from filterd.errors import ConfigError, FilterdError, StoreFull, StoreUnavailable

_DRIVERS = {
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "sqlite": "sqlite+aiosqlite",
}
_POISONOUS = frozenset(
    {
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_DIR_FSYNC,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_TRUNCATE,
        sqlite3.SQLITE_IOERR_CLOSE,
    }
)
"""After these the kernel may have dropped pages it could not write and report the next fsync as a success."""
_FULL_STATES = frozenset({"53100"})
"""PostgreSQL's disk_full."""


class StorePoisoned(StoreUnavailable):
    """The disk failed to write; nothing is promised until the process has been restarted and the disk seen to."""


def database_url(url: str, state_dir: str) -> URL:
    """``url`` with the driver we use; SQLite in ``state_dir`` where it is empty. Raises ConfigError."""
    try:
        parsed = make_url(url or f"sqlite+aiosqlite:///{Path(state_dir) / 'filterd.db'}")
    except ArgumentError:
        raise ConfigError("store.url is not a database URL") from None
    parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
    if parsed.drivername not in _DRIVERS.values():
        raise ConfigError(f"store.url: {parsed.drivername} is not supported; use sqlite or postgresql+asyncpg")
    if parsed.drivername == "sqlite+aiosqlite" and not parsed.database:
        raise ConfigError("store.url names no SQLite file")
    return parsed


def sqlite_path(url: URL) -> Path | None:
    """The file of a SQLite URL; None for another database."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def create_engine(url: URL, *, timeout_seconds: float, is_writer: bool) -> AsyncEngine:
    """An engine that has not connected yet. Raises ConfigError when the driver is not installed."""
    path = sqlite_path(url)
    options: dict[str, Any] = {"pool_timeout": timeout_seconds, "hide_parameters": True}
    if path is None:
        options |= {"pool_size": 1 if is_writer else 4, "max_overflow": 0, "pool_pre_ping": True}
        options["connect_args"] = {"timeout": timeout_seconds, "command_timeout": timeout_seconds}
    else:
        options |= {"pool_size": 1 if is_writer else 2, "max_overflow": 0}
        options["connect_args"] = {"timeout": timeout_seconds}
    try:
        engine = create_async_engine(url, **options)
    except (ImportError, NoSuchModuleError) as exc:
        raise ConfigError(f"store.url: the driver is not installed: {exc}") from None
    if path is not None:
        begin = "BEGIN IMMEDIATE" if is_writer else "BEGIN"
        _prepare_sqlite(engine.sync_engine, path, timeout_seconds, begin=begin)
    return engine


def create_thread_engine(url: URL, *, timeout_seconds: float) -> Engine:
    """An engine for the one thread that writes to SQLite.

    With aiosqlite every statement changes threads three times, which costs more than the statement; a whole batch
    in one thread costs a quarter.
    """
    options: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": timeout_seconds}
    engine = create_sync_engine(
        url.set(drivername="sqlite"), hide_parameters=True, connect_args={"timeout": timeout_seconds}, **options
    )
    _prepare_sqlite(engine, Path(url.database or ""), timeout_seconds, begin="BEGIN IMMEDIATE")
    return engine


def create_file(path: Path) -> None:
    """An empty SQLite file that only we may read, with its folder entry on disk. Raises StoreUnavailable."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Never opened where it exists: closing it would drop the locks that SQLite holds on it in this process.
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            owner = os.fstat(folder)
            if os.geteuid() == 0 and os.fstat(file).st_uid != owner.st_uid:
                # A command run by root must not leave a file that the daemon cannot open; SQLite does the same
                # for the files it puts beside it.
                os.fchown(file, owner.st_uid, owner.st_gid)
            os.fsync(folder)
        finally:
            os.close(folder)
            os.close(file)
    except FileExistsError:
        return
    except OSError as exc:
        raise StoreUnavailable(f"database {path}: {exc.strerror}") from None


def _prepare_sqlite(engine: Engine, path: Path, timeout_seconds: float, *, begin: str) -> None:
    @event.listens_for(engine, "do_connect")
    def _connecting(*_args: object) -> None:
        # SQLite would make the file, readable by everyone; that is for create_file.
        if not os.access(path, os.R_OK | os.W_OK):
            raise OSError(errno.EACCES if path.exists() else errno.ENOENT, "cannot be opened")

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        try:
            # The driver must not begin transactions of its own: ours say which kind they are.
            connection.isolation_level = None
            cursor = connection.cursor()
            for pragma in sqlite_pragmas(timeout_seconds):
                cursor.execute(pragma)
            cursor.close()
        except BaseException:
            connection.close()  # it has a thread that nobody else would end
            raise

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def sqlite_pragmas(timeout_seconds: float) -> tuple[str, ...]:
    """What every SQLite connection says first; the time to wait for a lock before anything that takes one."""
    return (
        f"PRAGMA busy_timeout={int(timeout_seconds * 1000)}",
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "PRAGMA foreign_keys=ON",
        "PRAGMA secure_delete=ON",  # what was erased is overwritten, not just forgotten
    )


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Errors of the database as StoreUnavailable or StoreFull; everything else as it is."""
    try:
        yield
    except Exception as exc:
        error = translate(exc, name)
        if error is exc:
            raise
        raise error from exc


def translate(exc: Exception, name: str) -> Exception:
    """``exc`` as one of our errors, with one line and no parameters, if the database raised it; else itself."""
    is_theirs = isinstance(exc, (SQLAlchemyError, OSError, TimeoutError)) or type(exc).__module__.startswith("asyncpg")
    if isinstance(exc, FilterdError) or not is_theirs:
        return exc
    # SQLAlchemy's own text quotes statements; the driver's first line does not hold values.
    cause: BaseException = exc.orig if isinstance(exc, DBAPIError) and exc.orig else exc
    lines = str(cause).splitlines() or [type(cause).__name__]
    detail = f"database {name}: {lines[0]}"
    code = getattr(cause, "sqlite_errorcode", 0)
    if code in _POISONOUS:
        return StorePoisoned(f"{detail}; restart filterd when the disk is sound")
    if code == sqlite3.SQLITE_FULL or getattr(cause, "sqlstate", "") in _FULL_STATES:
        return StoreFull(detail)
    return StoreUnavailable(detail)


def is_about_one(exc: BaseException) -> bool:
    """Whether a failed transaction was the fault of one of its operations, so that the others are worth retrying."""
    if isinstance(exc, DBAPIError):
        code = getattr(exc.orig, "sqlite_errorcode", 0) & 0xFF
        if code:
            return code in (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH)
        state = str(getattr(exc.orig, "sqlstate", "") or "")
        # Data exceptions, broken constraints, deadlocks and serialisation failures, values too long for an index.
        return not exc.connection_invalidated and state[:2] in ("22", "23", "40", "54")
    return not isinstance(exc, (SQLAlchemyError, OSError, TimeoutError))

"""Copies a SQLite database while the daemon runs, and puts a copy back.

By SQLite's online backup (sqlite.org/backup.html): a copied file alone would be torn, and one put in the place of the
database would meet the journal of another. PostgreSQL has pg_dump and pg_restore (docs/operations.md).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from filterd.errors import StoreUnavailable, UsageError
from filterd.settings import Config
from filterd.store import migrate
from filterd.store.engine import create_file, database_url, sqlite_path, sqlite_pragmas

_WAIT_SECONDS = 30.0
"""Longest wait for a lock of the daemon's, which hold for milliseconds."""


def file_of(config: Config, instead: str) -> Path:
    """The file of the database. Raises UsageError for PostgreSQL, where a program named ``instead`` does it."""
    path = sqlite_path(database_url(config.store.url.reveal(), config.server.state_dir))
    if path is None:
        raise UsageError(f"this is for SQLite; use {instead}, see docs/operations.md")
    return path


def save(database: Path, target: Path) -> int:
    """Copy ``database`` to ``target``, which is replaced when the copy is whole; returns its bytes.

    Only we may read the copy: it holds mail. Raises StoreUnavailable.
    """
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        with _opened(database) as source, _opened(draft) as copy:
            # All pages in one step: one moment, whatever is written meanwhile; in WAL mode nobody waits.
            source.backup(copy, pages=-1)
            copy.execute("PRAGMA journal_mode=DELETE")
            _check(copy, draft)
        _sync(draft)
        draft.replace(target)
        _sync(target.parent)
        return target.stat().st_size
    except (OSError, sqlite3.Error) as exc:
        raise StoreUnavailable(f"database {database} cannot be copied to {target}: {exc}") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def put_back(copy: Path, database: Path) -> None:
    """Replace what is in ``database`` by what is in ``copy``, in one transaction; ``copy`` stays as it is.

    Raises UsageError for a file that is no copy this version of filterd can use, StoreUnavailable.
    """
    try:
        with _opened(copy, is_immutable=True) as source:
            _check(source, copy)
            found = source.execute("SELECT version_num FROM alembic_version").fetchall()
            if not found or not migrate.knows(found[0][0]):
                raise UsageError(f"{copy} was made by a version of filterd that this one does not know")
    except (OSError, sqlite3.Error) as exc:
        raise UsageError(f"{copy} is no copy of a database of filterd: {exc}") from None
    create_file(database)
    try:
        with _opened(copy, is_immutable=True) as source, _opened(database) as target:
            for pragma in sqlite_pragmas(_WAIT_SECONDS):
                target.execute(pragma)
            source.backup(target, pages=-1)
    except (OSError, sqlite3.Error) as exc:
        raise StoreUnavailable(f"database {database}: {exc}") from None


@contextlib.contextmanager
def _opened(path: Path, *, is_immutable: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection to a file that is there. An immutable one gets no journals beside it."""
    mode = "mode=ro&immutable=1" if is_immutable else "mode=rw"
    uri = f"file:{quote(str(path.absolute()))}?{mode}"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)) as found:
        yield found


def _check(connection: sqlite3.Connection, path: Path) -> None:
    problems = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
    if problems != ["ok"]:
        raise sqlite3.DatabaseError(f"{path}: {problems[0]}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

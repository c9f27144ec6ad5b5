"""Copies of a SQLite database: whole whatever is written meanwhile, and put back as they were."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from filterd.errors import StoreUnavailable, UsageError
from filterd.store import backup, migrate
from filterd.store.engine import create_engine, create_file, database_url


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """One at the newest revision, in WAL mode, as the daemon has it."""
    path = tmp_path / "filterd.db"
    create_file(path)

    async def upgrade() -> None:
        engine = create_engine(database_url(f"sqlite:///{path}", ""), timeout_seconds=5, is_writer=True)
        await migrate.upgrade(engine)
        await engine.dispose()

    asyncio.run(upgrade())
    return path


@pytest.fixture
def writer(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that stays open, as the daemon's do: what it commits is in the journal."""
    with closing(sqlite3.connect(database, isolation_level=None)) as found:
        yield found


def add(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("INSERT INTO token VALUES (?, '[]', ?, '2026-01-01')", (name, name))


def names(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT name FROM token ORDER BY name")]


def test_copy_when_a_transaction_is_open_holds_what_was_committed(
    database: Path, writer: sqlite3.Connection, tmp_path: Path
) -> None:
    """The writer does not wait for it either; the copy is one file that only its owner may read."""
    add(writer, "before")
    writer.execute("BEGIN IMMEDIATE")
    add(writer, "after")
    copy = tmp_path / "copy.db"

    size_bytes = backup.save(database, copy)
    writer.execute("COMMIT")

    assert names(copy) == ["before"]
    assert names(database) == ["after", "before"]
    assert (copy.stat().st_mode & 0o777, copy.stat().st_size) == (0o600, size_bytes)
    assert [path.name for path in tmp_path.iterdir() if "copy" in path.name] == ["copy.db"]


def test_copy_that_fails_leaves_the_one_before(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    backup.save(database, copy)
    before = copy.read_bytes()
    database.write_bytes(b"no database" * 1000)

    with pytest.raises(StoreUnavailable, match="not a database"):
        backup.save(database, copy)

    assert copy.read_bytes() == before
    assert not list(tmp_path.glob(".copy*"))


def test_copy_of_a_damaged_database_is_no_copy(database: Path, writer: sqlite3.Connection, tmp_path: Path) -> None:
    """A backup that cannot be restored is noticed when it is made."""
    for number in range(500):
        add(writer, f"token-{number}")
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    page = writer.execute("SELECT rootpage FROM sqlite_master WHERE name = 'token'").fetchone()[0]
    with database.open("r+b") as file:
        file.seek((page - 1) * 4096 + 8)
        file.write(b"\xff" * 512)

    with pytest.raises(StoreUnavailable):
        backup.save(database, tmp_path / "copy.db")

    assert not (tmp_path / "copy.db").exists()


def test_copy_put_back_is_all_there_is(database: Path, writer: sqlite3.Connection, tmp_path: Path) -> None:
    """What was written after the copy is gone, also where it was still in the journal; the copy can be used again."""
    add(writer, "before")
    copy = tmp_path / "copy.db"
    backup.save(database, copy)
    add(writer, "after")
    kept = copy.read_bytes()

    backup.put_back(copy, database)

    assert names(database) == ["before"]
    assert writer.execute("SELECT name FROM token").fetchall() == [("before",)]
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert copy.read_bytes() == kept


def test_copy_put_back_where_there_is_nothing_makes_the_database(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    backup.save(database, copy)
    new = tmp_path / "new/filterd.db"

    backup.put_back(copy, new)

    assert names(new) == []
    assert new.stat().st_mode & 0o777 == 0o600


def _nothing(_: Path) -> None:
    """There is no file."""


def _text(path: Path) -> None:
    path.write_text("no database, but text that is long enough\n" * 100, encoding="ascii")


def _another(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bill (id INTEGER)")


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
        connection.commit()


@pytest.mark.parametrize("make", [_nothing, _text, _another, _newer], ids=["nothing", "text", "another", "newer"])
def test_what_is_no_copy_is_refused_and_the_database_stays(
    database: Path, writer: sqlite3.Connection, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    add(writer, "here")
    make(tmp_path / "copy.db")

    with pytest.raises(UsageError):
        backup.put_back(tmp_path / "copy.db", database)

    assert names(database) == ["here"]

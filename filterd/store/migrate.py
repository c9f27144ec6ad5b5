"""Brings the tables to the version this code knows; one process at a time, the others wait and find it done.

Alembic is loaded only where tables must be changed or compared: it takes a fifth of a second and ten megabytes.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.schema import SchemaItem

from filterd.errors import ConfigError, UsageError
from filterd.settings import Config
from filterd.store import account_tables, model_tables, rule_tables  # noqa: F401  # theirs are in the metadata once loaded
from filterd.store.engine import create_engine, database_url, translated
from filterd.store.schema import ONLY, Base

if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig

_LOCK = 0x66696C7465726401
"""PostgreSQL advisory lock of whoever migrates."""
_CHANGE_SECONDS = 3_600.0
"""Longest wait for one statement that changes tables by hand."""
_FOLDER = Path(__file__).parent / "migrations"


async def upgrade(engine: AsyncEngine, revision: str = "head") -> None:
    """Run the missing migrations in one transaction. Raises ConfigError for a database newer than this code."""
    async with _alone(engine), engine.begin() as connection:
        await connection.run_sync(_upgrade, revision)


async def downgrade(engine: AsyncEngine, revision: str) -> None:
    """Undo migrations down to ``revision``; ``base`` drops everything."""
    async with _alone(engine), engine.begin() as connection:
        await connection.run_sync(_downgrade, revision)


async def current(engine: AsyncEngine) -> str:
    """The revision the database is at; empty before the first."""
    async with engine.connect() as connection:
        return await connection.run_sync(_current)


async def differences(engine: AsyncEngine) -> list[str]:
    """What the tables in the database and those in ``schema.py`` disagree about."""
    async with engine.connect() as connection:
        return await connection.run_sync(_differences)


def newest() -> str:
    """The revision this code needs."""
    return max(_revisions())


def knows(revision: str) -> bool:
    """Whether this code can bring tables from ``revision`` to what it needs."""
    return revision in _revisions()


async def take_back(config: Config, revision: str) -> None:
    """Bring the tables down to ``revision``; what it has no place for is deleted. Raises UsageError, StoreUnavailable.

    Nothing may use the database meanwhile.
    """
    url = database_url(config.store.url.reveal(), config.server.state_dir)
    engine = create_engine(url, timeout_seconds=_CHANGE_SECONDS, is_writer=True)
    try:
        with translated(url.render_as_string(hide_password=True)):
            now = await current(engine)
            if not knows(revision) or not knows(now) or revision > now:
                raise UsageError(f"the tables are at revision {now or 'none'} and cannot be taken back to {revision}")
            await downgrade(engine, revision)
    finally:
        await engine.dispose()


def _revisions() -> set[str]:
    """Those this code knows: files of the folder begin with them."""
    return {path.name.partition("_")[0] for path in (_FOLDER / "versions").glob("[0-9]*_*.py")}


@asynccontextmanager
async def _alone(engine: AsyncEngine) -> AsyncIterator[None]:
    """A lock on a file beside a SQLite database: switching to WAL does not wait for other processes by itself."""
    if engine.url.get_backend_name() != "sqlite":
        yield
        return
    descriptor = os.open(f"{engine.url.database}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _upgrade(connection: Connection, revision: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    now = _current(connection)
    if now and not knows(now):
        raise ConfigError(f"the database is at revision {now}, which this version of filterd does not know")
    if now == newest() and revision == "head":
        return
    from alembic import command

    command.upgrade(_config(connection), revision)


def _downgrade(connection: Connection, revision: str) -> None:
    from alembic import command

    command.downgrade(_config(connection), revision)


def _current(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return connection.scalar(text("SELECT version_num FROM alembic_version")) or ""


def _differences(connection: Connection) -> list[str]:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    dialect = connection.dialect.name

    def is_for_us(item: SchemaItem, *_: object) -> bool:
        wanted: str = item.info.get(ONLY, dialect)
        return wanted == dialect

    context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": is_for_us})
    return [str(difference) for difference in compare_metadata(context, Base.metadata)]


def _config(connection: Connection) -> AlembicConfig:
    from alembic.config import Config as AlembicConfig

    config = AlembicConfig()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config

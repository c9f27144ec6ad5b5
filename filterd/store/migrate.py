"""Brings the tables to the version this code knows; one process at a time, the others wait and find it done."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from filterd.errors import ConfigError
from filterd.store.schema import Base

_LOCK = 0x66696C7465726401
"""PostgreSQL advisory lock of whoever migrates."""
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
    return _scripts().get_current_head() or ""


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
    if now and now not in {script.revision for script in _scripts().walk_revisions()}:
        raise ConfigError(f"the database is at revision {now}, which this version of filterd does not know")
    command.upgrade(_config(connection), revision)


def _downgrade(connection: Connection, revision: str) -> None:
    command.downgrade(_config(connection), revision)


def _current(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or ""


def _differences(connection: Connection) -> list[str]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return [str(difference) for difference in compare_metadata(context, Base.metadata)]


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config(connection: Connection | None = None) -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config

"""Migrated databases to copy: that is faster than making one for every example."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from pathlib import Path

from sqlalchemy.engine import make_url

from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock
from tests.servers import postgres


@functools.cache
def empty_database() -> bytes:
    """The octets of the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.db"

        asyncio.run(_migrate(f"sqlite:///{path}"))
        return path.read_bytes()


@functools.cache
def empty_template(server_url: str) -> str:
    """The name of a database on a running PostgreSQL for ``fresh_database`` to copy; it stays as long as its server."""
    name = "empty"
    asyncio.run(postgres.make_database(server_url, name))
    asyncio.run(_migrate(make_url(server_url).set(database=name).render_as_string(hide_password=False)))
    return name


async def _migrate(url: str) -> None:
    async with SqlStore(database_url(url, ""), clock=FixedClock()) as store:
        await store.migrate()

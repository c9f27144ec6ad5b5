"""A migrated SQLite file to copy: that is faster than making one for every example."""

from __future__ import annotations

import asyncio
import functools
import tempfile
from pathlib import Path

from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock


@functools.cache
def empty_database() -> bytes:
    """The octets of the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.db"

        async def make() -> None:
            async with SqlStore(database_url(f"sqlite:///{path}", ""), clock=FixedClock()) as store:
                await store.migrate()

        asyncio.run(make())
        return path.read_bytes()

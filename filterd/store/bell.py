"""Tells who follows the database when to look: at once where PostgreSQL can say so, else twice a second.

Triggers (migration 0009) notify on every change of what workers keep at hand: labels, rules, calibrations, the bundles
that serve. A notification says that something changed and nothing more; what changed is read from the tables, so that
one that is lost costs seconds and no correctness. A pooler that gives each transaction another session (pgbouncer in
transaction mode) takes LISTEN and hands no notification on: so hearing is believed only when something that another
connection said was heard. Source: PostgreSQL manual, NOTIFY.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from filterd.errors import StoreUnavailable
from filterd.store.engine import create_engine, sqlite_path, translated

CHANNEL = "filterd_changed"
DEAF_SECONDS = 0.5
"""Between two looks while nothing can be heard."""
HEARING_SECONDS = 15.0
"""Longest time between two looks while it can."""
GAP_SECONDS = 0.1
"""Shortest: a thousand labels a second are not a thousand looks."""
_DEAF_PAUSE_SECONDS = 60.0
"""Before listening is tried again where nothing was heard."""
_CHECK_SECONDS = 5.0
"""How often the connection is tried: one whose other end is gone says nothing by itself."""


class Bell:
    """Rings when the database says that something changed."""

    def __init__(self, url: URL, *, timeout_seconds: float) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._next = asyncio.Event()
        self.rings = 0
        """How often it rang: who has seen this number has missed nothing."""
        self.is_hearing = False

    async def listen(self) -> None:
        """Hear what the database says, until cancelled; nothing on SQLite, which says nothing."""
        while sqlite_path(self._url) is None:
            pause = DEAF_SECONDS
            with contextlib.suppress(StoreUnavailable, TimeoutError):
                await self._listen_once()
                pause = _DEAF_PAUSE_SECONDS
            await asyncio.sleep(pause)
        await asyncio.Event().wait()

    async def wait(self) -> None:
        """Until it rings, at most as long as nobody need look."""
        seconds = HEARING_SECONDS if self.is_hearing else DEAF_SECONDS
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._next.wait()

    def ring(self) -> None:
        """Wake everybody who waits, and those who do not wait yet when they come to."""
        self.rings += 1
        self._next.set()
        self._next = asyncio.Event()

    async def _listen_once(self) -> None:
        """Hear until the connection is lost; returns where nothing can be heard. Raises StoreUnavailable."""
        engine = create_engine(self._url, timeout_seconds=self._timeout_seconds, is_writer=False)
        try:
            with translated(self._url.render_as_string(hide_password=True)):
                async with engine.connect() as connection:
                    driver = (await connection.get_raw_connection()).driver_connection
                    assert driver is not None
                    await driver.add_listener(CHANNEL, lambda *_: self.ring())
                    if not await self._can_hear(engine, driver):
                        return
                    async with self._hearing():
                        while True:
                            await asyncio.sleep(_CHECK_SECONDS)
                            await driver.execute("SELECT 1", timeout=self._timeout_seconds)
        finally:
            await engine.dispose()

    async def _can_hear(self, engine: AsyncEngine, driver: Any) -> bool:
        """Whether what another connection says arrives here."""
        echo, heard = echo_channel(), asyncio.Event()
        await driver.add_listener(echo, lambda *_: heard.set())
        async with engine.connect() as other:
            await other.execute(text("SELECT pg_notify(:channel, '')"), {"channel": echo})
            await other.commit()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_seconds):
                await heard.wait()
        return heard.is_set()

    @asynccontextmanager
    async def _hearing(self) -> AsyncIterator[None]:
        """Everybody looks when it begins, for what was said before, and when it ends, to look more often."""
        self.is_hearing = True
        self.ring()
        try:
            yield
        finally:
            self.is_hearing = False
            self.ring()


def echo_channel() -> str:
    """A channel that nobody else uses."""
    return f"filterd_echo_{secrets.token_hex(8)}"


class Pause:
    """Between two looks of one follower; what rang while it looked makes the next pause short."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._heard = bell.rings

    async def __call__(self) -> None:
        """Until there may be something to see."""
        await asyncio.sleep(GAP_SECONDS)
        if self._bell.rings == self._heard:
            await self._bell.wait()
        self._heard = self._bell.rings

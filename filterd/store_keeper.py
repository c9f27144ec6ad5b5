"""Watches over the store of one worker: makes its tables, notices when it goes and comes back, tidies up.

The daemon starts and serves wanted mail without a database (``docs/delivery.md``); the keeper goes on trying.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

from filterd.core.envelope import MessageId
from filterd.errors import ConfigError, FilterdError, StoreFull, TemporaryError
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.ports import Clock, HeldState, Upkeep, VerdictStore

PING_SECONDS = 5.0
FIRST_TRY_SECONDS = 10.0
"""How long the start waits for the database before the worker serves without it."""
CHORES_SECONDS = 3_600.0
_NO_MESSAGE = MessageId("0" * 32)


class KeptStore(Upkeep, VerdictStore, Protocol):
    """A store that can bring its tables up to date."""

    async def migrate(self) -> None:
        """Raises StoreUnavailable, or ConfigError for a database newer than this code."""
        ...


class StoreKeeper:
    """Knows whether the store can be used."""

    def __init__(
        self, *, clock: Clock, metrics: Metrics, events: Events, fatal: type[FilterdError] = ConfigError
    ) -> None:
        """``fatal`` is the error after which only a new process can trust the store again."""
        self._clock = clock
        self._metrics = metrics
        self._events = events
        self._fatal = fatal
        self._is_migrated = False
        self._has_been_down = False
        self.is_up = False
        self.is_broken = False
        """Whether this process must give its place to a new one."""

    async def begin(self, store: KeptStore) -> None:
        """Make the tables if the database is there; go on without it if not. Raises ConfigError."""
        try:
            async with asyncio.timeout(FIRST_TRY_SECONDS):
                await self._try(store)
        except (TemporaryError, TimeoutError) as exc:
            self._report(is_up=False, error=_text(exc))

    def note(self, is_up: bool, error: str) -> None:  # noqa: FBT001  # the store calls it by position
        """What a write or a ping found."""
        if is_up != self.is_up and (self._is_migrated or not is_up):
            self._report(is_up=is_up, error=error)

    async def watch(self, store: KeptStore) -> None:
        """Ask the store how it is, until cancelled."""
        while True:
            await asyncio.sleep(PING_SECONDS)
            try:
                await self._try(store)
                self._metrics.quarantine_messages.set(await store.count_held())
            except (FilterdError, TimeoutError) as exc:
                self.is_broken = isinstance(exc, self._fatal)
                self.note(False, _text(exc))

    async def chores(self, store: KeptStore) -> None:
        """Turn forgotten pending messages into held ones and delete what is past its days, until cancelled."""
        while True:
            with contextlib.suppress(TemporaryError, TimeoutError):
                await store.reap()
                counts = dict(await store.purge(self._clock.now()))
                if any(counts.values()):
                    self._events.purged(counts)
            await asyncio.sleep(CHORES_SECONDS)

    async def _try(self, store: KeptStore) -> None:
        if self._is_migrated:
            await store.ping()
            # A read says nothing about writes: this one changes no row.
            await store.settle(_NO_MESSAGE, HeldState.HELD)
        else:
            await store.migrate()
            self._is_migrated = True
        if not self.is_up:
            self._report(is_up=True, error="")

    def _report(self, *, is_up: bool, error: str) -> None:
        self.is_up = is_up
        self._metrics.store_up.set(int(is_up))
        if not is_up or self._has_been_down:
            self._events.store_state(is_up, error)
        self._has_been_down = self._has_been_down or not is_up


def has_room(store: Upkeep) -> bool:
    """Whether a message could be held as far as the disk is concerned."""
    try:
        store.check_room()
    except StoreFull:
        return False
    except TemporaryError:
        # Wanted mail does not need the database; what must be held gets its own answer.
        return True
    return True


def _text(error: BaseException) -> str:
    return error.detail if isinstance(error, FilterdError) else "timed out"

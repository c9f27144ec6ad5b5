"""Follows the registry: swaps in what was promoted, and takes back what does much worse with people.

The pointer is a file, looked at twice a second; a bundle that is refused is not tried again until the pointer changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Protocol

from filterd.core.alarm import alarm
from filterd.core.envelope import Channel
from filterd.errors import BundleError, FilterdError
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.model_ports import AuditTrail, TrackRecords, Trial
from filterd.ports import Clock

LOOK_SECONDS = 0.5
ALARM_SECONDS = 60.0
WINDOW = timedelta(days=7)
"""Verdicts that bundles are judged by."""
_NOBODY = "filterd"


class Pointers(Protocol):
    """The registry's pointers."""

    def current(self, channel: Channel) -> str | None:
        """Id of the promoted bundle. Raises BundleError."""
        ...

    def previous(self, channel: Channel) -> str | None:
        """Id of the bundle that was in service before. Raises BundleError."""
        ...

    def promote(self, channel: Channel, id: str) -> None:
        """Put a published bundle into service. Raises BundleError."""
        ...

    def trial(self, channel: Channel) -> Trial | None:
        """The candidate on trial. Raises BundleError."""
        ...

    def end_trial(self, channel: Channel) -> Trial | None:
        """Try nothing any more. Raises BundleError."""
        ...


class BooksAndTrail(TrackRecords, AuditTrail, Protocol):
    """Both."""


class ModelKeeper:
    """Keeps the bundles in service as the registry says."""

    def __init__(
        self,
        registry: Callable[[], Pointers],
        reload: Callable[[], Awaitable[None]],
        store: BooksAndTrail,
        *,
        serving: Callable[[], Mapping[Channel, str]],
        clock: Clock,
        metrics: Metrics,
        events: Events,
        is_rolling_back: Callable[[], bool],
    ) -> None:
        """``reload`` swaps the bundles of the registry in and raises BundleError; ``serving`` are their ids."""
        self._registry = registry
        self._reload = reload
        self._store = store
        self._serving = serving
        self._clock = clock
        self._metrics = metrics
        self._events = events
        self._is_rolling_back = is_rolling_back
        self._seen: Mapping[Channel, str | None] | None = None
        self._unread = ""

    async def follow(self) -> None:
        """Swap in what was promoted, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Swap once if the pointers changed; a refused bundle leaves the incumbents in service."""
        try:
            registry = self._registry()
            pointers = {channel: registry.current(channel) for channel in Channel}
        except BundleError as exc:
            self._note(exc.detail)
            return
        self._note("")
        before, self._seen = self._seen, pointers
        if before is None or before == pointers:
            return
        try:
            await self._reload()
        except BundleError:
            # Said and counted where it was refused.
            return

    def _note(self, error: str) -> None:
        """Tell when the pointers become unreadable and when that is over, and not every second between."""
        if bool(error) != bool(self._unread):
            self._events.registry_state("pointers", error)
        self._unread = error

    async def guard(self) -> None:
        """Take back what does worse, until cancelled; for one worker of a host."""
        while True:
            await asyncio.sleep(ALARM_SECONDS)
            if self._is_rolling_back():
                for channel in Channel:
                    try:
                        await self.check(channel)
                    except FilterdError:
                        # Without a database or a registry there is nothing to judge by.
                        continue

    async def check(self, channel: Channel) -> str:
        """Why a bundle was taken back now; empty where none was. Raises StoreUnavailable and BundleError."""
        registry = self._registry()
        records = await self._store.fared(channel, self._clock.now() - WINDOW)
        current, previous, trial = registry.current(channel), registry.previous(channel), registry.trial(channel)
        serving = self._serving().get(channel, "")
        if trial is not None and trial.decides and {trial.id, serving} <= set(records):
            why = alarm(records[trial.id], records[serving])
            if why:
                registry.end_trial(channel)
                return await self._took_back(channel, trial.id, why)
        if current and previous and {current, previous} <= set(records):
            why = alarm(records[current], records[previous])
            if why:
                registry.promote(channel, previous)
                return await self._took_back(channel, current, why)
        return ""

    async def _took_back(self, channel: Channel, id: str, why: str) -> str:
        self._metrics.model_rollbacks.labels(channel.value).inc()
        self._events.model_taken_back(channel.value, id, why)
        await self._store.note("rolled back", id, _NOBODY, why)
        return why

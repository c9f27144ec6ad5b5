"""Keeps one worker's memory of reported near-duplicates as the ledger is.

It asks the database for what changed, so that a report acts in every worker of every host a second after it was
made, with SQLite as with PostgreSQL, and needs nothing else between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from filterd.core.reported import Report
from filterd.errors import FilterdError
from filterd.feedback_ports import ReportChange, Reports
from filterd.metrics import Metrics
from filterd.ports import Clock

POLL_SECONDS = 0.5
OVERLAP_SECONDS = 15.0
"""How far back each question goes: what was written by a host whose clock is behind, or committed late, is seen too."""
WHOLE_SECONDS = 600.0
"""How often all of it is read again: whatever was missed is put right."""


class KeptMemory(Protocol):
    """A memory that can be told what changed."""

    def apply(self, changes: Iterable[ReportChange]) -> None:
        """Learn of new labels and forget those that stand no longer."""
        ...

    def replace(self, reports: Iterable[Report]) -> None:
        """Know these and no others."""
        ...

    def forget_before(self, moment: datetime) -> None:
        """Forget labels given before ``moment``."""
        ...

    def take_superfluous(self) -> Sequence[int]:
        """Numbers of the reports that the model in service no longer needs."""
        ...

    def __len__(self) -> int:
        """Reports remembered."""
        ...


class ReportKeeper:
    """Reads the ledger into the memory."""

    def __init__(
        self, memory: KeptMemory, ledger: Reports, *, clock: Clock, metrics: Metrics, days: int, most: int
    ) -> None:
        """``days`` a report is remembered (0: for as long as it stands), and the ``most`` of them."""
        self._memory = memory
        self._ledger = ledger
        self._clock = clock
        self._metrics = metrics
        self._days = days
        self._most = most
        self._seen: datetime | None = None
        self._whole_at = 0.0
        self._known: set[tuple[int, bool]] = set()

    async def watch(self) -> None:
        """Follow the ledger, until cancelled; while the database is away the memory stays as it is."""
        while True:
            try:
                await self.refresh()
            except (FilterdError, TimeoutError):
                # The store's keeper says so; what is remembered is still true.
                self._seen = None
            await asyncio.sleep(POLL_SECONDS)

    async def refresh(self) -> None:
        """Bring the memory up to date. Raises StoreUnavailable."""
        superfluous = self._memory.take_superfluous()
        if superfluous:
            await self._ledger.retire(superfluous)
        if self._seen is None or self._clock.monotonic() - self._whole_at > WHOLE_SECONDS:
            await self._read_all()
        else:
            since = self._seen - timedelta(seconds=OVERLAP_SECONDS)
            changes = tuple(await self._ledger.report_changes(since, most=self._most))
            self._note(changes)
            self._memory.apply(changes)
            self._seen = max((change.changed_at for change in changes), default=self._seen)
        if self._days:
            self._memory.forget_before(self._clock.now() - timedelta(days=self._days))
        self._metrics.reports_remembered.set(len(self._memory))

    async def _read_all(self) -> None:
        now = self._clock.now()
        changes = tuple(await self._ledger.report_changes(None, most=self._most))
        self._memory.replace(tuple(change.report for change in changes if change.is_standing))
        self._known = {(change.report.id, change.is_standing) for change in changes}
        self._seen, self._whole_at = now, self._clock.monotonic()

    def _note(self, changes: tuple[ReportChange, ...]) -> None:
        """Count how long each new report took to get here."""
        now = self._clock.now()
        found = {(change.report.id, change.is_standing) for change in changes}
        for change in changes:
            if (change.report.id, change.is_standing) not in self._known:
                seconds = (now - change.changed_at).total_seconds()
                self._metrics.report_to_effect_seconds.observe(max(0.0, seconds))
        self._known = found

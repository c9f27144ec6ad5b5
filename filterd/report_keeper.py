"""Keeps one worker's memory of reported near-duplicates as the ledger is.

It asks the database for what changed whenever there may be something, so that a report acts in every worker of every
host a second after it was made, with SQLite as with PostgreSQL, and needs nothing else between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from filterd.core.reported import Credit, Report
from filterd.errors import FilterdError
from filterd.feedback_ports import ReportChange, Reports
from filterd.metrics import Metrics
from filterd.ports import Clock, Pause

OVERLAP_SECONDS = 15.0
"""How far back each question goes: what was written by a host whose clock is behind, or committed late, is seen too."""
WEIGHED = 20_000
"""Newest reports that are weighed against each other."""
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

    def newest(self, most: int) -> Sequence[Report]:
        """The reports with the highest numbers, ascending."""
        ...

    def weigh(self, credit: Mapping[int, Credit]) -> None:
        """Let reports count for what they were found to."""
        ...

    def take_superfluous(self) -> Sequence[int]:
        """Numbers of the reports that the model in service no longer needs."""
        ...

    def __len__(self) -> int:
        """Reports remembered."""
        ...


class Follower(Protocol):
    """What else acts on labels."""

    async def follow(self, changes: Sequence[ReportChange] | None, worth: Mapping[int, float]) -> None:
        """Labels changed, or all were read again (None); ``worth`` is what each is worth to others, [0, 1].

        Raises StoreUnavailable.
        """
        ...


class Polled(Protocol):
    """What else people decide that every worker must see soon."""

    async def refresh(self) -> None:
        """Read it again. Raises StoreUnavailable."""
        ...


class ReportKeeper:
    """Reads the ledger into the memory."""

    def __init__(
        self,
        memory: KeptMemory,
        ledger: Reports,
        *,
        weigh: Callable[[Sequence[Report]], Mapping[int, Credit]],
        followers: Sequence[Follower] = (),
        polled: Sequence[Polled] = (),
        clock: Clock,
        metrics: Metrics,
        days: int,
        most: int,
    ) -> None:
        """``days`` a report is remembered (0: for as long as it stands), and the ``most`` of them.

        ``weigh`` says what each of the newest reports counts for; it runs on a thread. ``polled`` is asked
        to refresh as often as the ledger is read.
        """
        self._weigh = weigh
        self._followers = followers
        self._polled = polled
        self._memory = memory
        self._ledger = ledger
        self._clock = clock
        self._metrics = metrics
        self._days = days
        self._most = most
        self._seen: datetime | None = None
        self._whole_at = 0.0
        self._known: set[tuple[int, bool]] = set()

    async def watch(self, pause: Pause) -> None:
        """Follow the ledger, until cancelled; while the database is away the memory stays as it is."""
        while True:
            try:
                await self.refresh()
            except (FilterdError, TimeoutError):
                # The store's keeper says so; what is remembered is still true.
                self._seen = None
            await pause()

    async def refresh(self) -> None:
        """Bring the memory up to date. Raises StoreUnavailable."""
        for each in self._polled:
            await each.refresh()
        superfluous = self._memory.take_superfluous()
        if superfluous:
            await self._ledger.retire(superfluous)
        if self._seen is None or self._clock.monotonic() - self._whole_at > WHOLE_SECONDS:
            await self._read_all()
        else:
            since = self._seen - timedelta(seconds=OVERLAP_SECONDS)
            changes = tuple(await self._ledger.report_changes(since, most=self._most))
            is_new = self._note(changes)
            self._memory.apply(changes)
            if is_new:
                await self._weigh_newest(changes)
            self._seen = max((change.changed_at for change in changes), default=self._seen)
        if self._days:
            self._memory.forget_before(self._clock.now() - timedelta(days=self._days))
        self._metrics.reports_remembered.set(len(self._memory))

    async def _weigh_newest(self, changes: Sequence[ReportChange] | None) -> None:
        credit = await asyncio.to_thread(self._weigh, self._memory.newest(WEIGHED))
        self._memory.weigh(credit)
        worth = {id: given.weight for id, given in credit.items()}
        for follower in self._followers:
            await follower.follow(changes, worth)

    async def _read_all(self) -> None:
        now = self._clock.now()
        changes = tuple(await self._ledger.report_changes(None, most=self._most))
        self._memory.replace(tuple(change.report for change in changes if change.is_standing))
        self._known = {(change.report.id, change.is_standing) for change in changes}
        await self._weigh_newest(None)
        self._seen, self._whole_at = now, self._clock.monotonic()

    def _note(self, changes: tuple[ReportChange, ...]) -> bool:
        """Count how long each new report took to get here; whether there was one."""
        now = self._clock.now()
        found = {(change.report.id, change.is_standing) for change in changes}
        for change in changes:
            if (change.report.id, change.is_standing) not in self._known:
                seconds = (now - change.changed_at).total_seconds()
                self._metrics.report_to_effect_seconds.observe(max(0.0, seconds))
        is_new = not found <= self._known
        self._known = found
        return is_new

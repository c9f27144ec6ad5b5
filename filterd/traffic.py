"""The traffic of the last week by the hour, for whoever asks, as far as they reach.

An hour that is over is counted once for each reach; after that a look costs what came in since, and once a minute at
most. What is forgotten is counted again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from filterd.core.access import Reach
from filterd.core.hours import HOUR, hour_of, hours
from filterd.ports import Clock
from filterd.review_ports import HourCount, Review

WEEK = timedelta(days=7)
EVERY_SECONDS = 60.0
_OPEN = 2 * HOUR
"""The latest hours are counted again: verdicts are written a little after their message."""
_AT_ONCE = timedelta(days=1)
"""No query takes longer than a day's mail does."""
_MOST_REACHES = 64


@dataclass(slots=True)
class _Known:
    """What was counted for one reach."""

    hours: dict[datetime, Sequence[HourCount]] = field(default_factory=dict)
    at: datetime | None = None
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)


class TrafficBooks:
    """Counts, and remembers."""

    def __init__(self, review: Review, clock: Clock) -> None:
        self._review = review
        self._clock = clock
        self._known: OrderedDict[Reach, _Known] = OrderedDict()

    async def week(self, reach: Reach) -> Sequence[HourCount]:
        """The counts of the hours that began in the last seven days, the oldest first. Raises StoreUnavailable."""
        known = self._known.setdefault(reach, _Known())
        self._known.move_to_end(reach)
        if len(self._known) > _MOST_REACHES:
            self._known.popitem(last=False)
        async with known.counting:
            now = self._clock.now()
            if known.at is None or (now - known.at).total_seconds() >= EVERY_SECONDS:
                await self._count(known, reach, now)
                known.at = now
        return tuple(count for _, hour in sorted(known.hours.items()) for count in hour)

    async def _count(self, known: _Known, reach: Reach, now: datetime) -> None:
        end = hour_of(now) + HOUR
        first = end - WEEK
        for hour in [hour for hour in known.hours if hour < first]:
            del known.hours[hour]
        since = max(first, max(known.hours, default=first) - _OPEN)
        while since < end:
            until = min(since + _AT_ONCE, end)
            found: dict[datetime, list[HourCount]] = {hour: [] for hour in hours(since, until)}
            for count in await self._review.traffic(reach, since, until):
                found[count.hour].append(count)
            known.hours |= found
            since = until

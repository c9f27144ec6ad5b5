"""Hours of the clock, UTC."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

HOUR = timedelta(hours=1)


def hour_of(moment: datetime) -> datetime:
    """When the hour of ``moment`` began."""
    return moment.replace(minute=0, second=0, microsecond=0)


def hours(since: datetime, until: datetime) -> Sequence[datetime]:
    """The beginnings of the hours from ``since`` to ``until``, ascending; none unless ``until`` is later."""
    if until <= since:
        return ()
    first = hour_of(since)
    return tuple(first + n * HOUR for n in range(math.ceil((until - first) / HOUR)))

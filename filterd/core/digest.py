"""Digests: when one is due, what is new in it, and what can be done from it.

A digest is due once for each moment of its schedule, and tells of what was held since the one before: one that could
not be sent, or found nothing, is made up for by the next. Times of day are those of a wall clock, which skips an hour
in spring and repeats one in autumn: a day has one digest all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum

_MOST_DAYS_BACK = 9
"""A week, and a day on either side where the date line was moved."""
_FORM = re.compile(r"([a-z]+) ([01][0-9]|2[0-3]):([0-5][0-9]) (\S{1,64})")


class Rhythm(StrEnum):
    """On which days somebody gets a digest."""

    OFF = "off"
    DAILY = "daily"
    WORKDAYS = "workdays"
    """Monday to Friday."""
    WEEKLY = "weekly"
    """Monday."""

    def covers(self, day: date) -> bool:
        """Whether ``day`` has a digest."""
        last_weekday = {Rhythm.OFF: -1, Rhythm.DAILY: 6, Rhythm.WORKDAYS: 4, Rhythm.WEEKLY: 0}[self]
        return day.weekday() <= last_weekday


class Verb(StrEnum):
    """What a link of a digest does to one held message."""

    RELEASE = "release"
    TEACH = "teach"
    """Release it, and label it ham."""
    ALLOW = "allow"
    """Release it, and let its sender through from now on."""
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When somebody gets a digest."""

    rhythm: Rhythm
    at: time
    """Of the wall clock, hours and minutes."""
    zone: str
    """IANA name of the time zone."""

    @classmethod
    def of(cls, text: str) -> Schedule:
        """The schedule that was written as ``str`` shows it. Raises ValueError."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError("not a schedule")
        return cls(rhythm=Rhythm(found[1]), at=time(int(found[2]), int(found[3])), zone=found[4])

    def __str__(self) -> str:
        return f"{self.rhythm.value} {self.at:%H:%M} {self.zone}"


def latest_slot(schedule: Schedule, zone: tzinfo, now: datetime) -> datetime | None:
    """The last moment at or before ``now`` that a digest was due, in UTC; None where none ever is.

    ``zone`` is the one that the schedule names.
    """
    today = now.astimezone(zone).date()
    for days in range(-1, _MOST_DAYS_BACK):
        day = today - timedelta(days=days)
        slot = _slot(schedule, zone, day)
        if schedule.rhythm.covers(day) and slot <= now:
            return slot
    return None


def first_since(schedule: Schedule, zone: tzinfo, slot: datetime) -> datetime:
    """From when on the first digest ever tells, where it is that of ``slot``: it covers one period."""
    before = latest_slot(schedule, zone, slot - timedelta(microseconds=1))
    return slot - timedelta(days=1) if before is None else before


def _slot(schedule: Schedule, zone: tzinfo, day: date) -> datetime:
    """That time of day, in UTC: of a repeated hour the first, of a skipped one as far behind the gap."""
    return datetime.combine(day, schedule.at, tzinfo=zone).astimezone(UTC)

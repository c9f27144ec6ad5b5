"""Time zones by their IANA names, as the machine's own data has them (the package tzdata, on Debian)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

_MINUTES = re.compile(r"-?[0-9]{1,3}")
"""No zone is as far from UTC as 1,000 minutes."""


def known_zone(name: str) -> str:
    """``name``, where there is such a zone. Raises ValueError."""
    if name != "UTC" and _found(name) is None:
        raise ValueError("not the name of a time zone, like Europe/Berlin")
    return name


def zone_of(name: str) -> tzinfo:
    """The zone of that name; UTC where the machine does not know it any more."""
    return _found(name) or UTC


def told_zone(text: str) -> tzinfo:
    """The zone that a browser tells: its name, ``~`` and by how many minutes it is ahead of UTC now.

    Browsers call some places by names of old, which machines may have no more: then their distance of now must do.
    """
    name, _, minutes = text.partition("~")
    zone = _found(name)
    if zone is None and _MINUTES.fullmatch(minutes) and int(minutes):
        return timezone(timedelta(minutes=int(minutes)))
    return zone or UTC


@cache
def zone_names() -> Sequence[str]:
    """Names to choose from: those of places, and UTC. Read once: it takes a twentieth of a second."""
    return ("UTC", *sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/")))


def _found(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None

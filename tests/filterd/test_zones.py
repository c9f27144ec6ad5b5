"""Time zones by name, and as browsers tell them."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from filterd.zones import told_zone


@pytest.mark.parametrize(
    ("told", "name", "ahead_minutes"),
    [
        ("Europe/Berlin~0", "Europe/Berlin", 60),
        ("Old/Name~330", "UTC+05:30", 330),
        ("Old/Name~-570", "UTC-09:30", -570),
        ("Old/Name~999", "UTC+16:39", 999),
        ("Old/Name~1440", "UTC", 0),
        ("Old/Name~0", "UTC", 0),
        ("undefined~x", "UTC", 0),
        ("../../etc/passwd", "UTC", 0),
        ("\0", "UTC", 0),
        ("", "UTC", 0),
    ],
)
def test_zone_that_a_browser_tells_is_known_by_its_name_else_by_its_distance(
    told: str, name: str, ahead_minutes: int
) -> None:
    zone = told_zone(told)

    assert str(zone) == name
    assert datetime(2026, 1, 1, tzinfo=zone).utcoffset() == timedelta(minutes=ahead_minutes)

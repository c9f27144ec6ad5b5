"""When a digest is due: once for each time of the wall clock, whatever the clock does."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filterd.core.digest import Rhythm, Schedule, first_since, latest_slot

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/Sao_Paulo",
)


def schedule(rhythm: Rhythm = Rhythm.DAILY, at: str = "07:00", zone: str = "Europe/Berlin") -> Schedule:
    return Schedule(rhythm=rhythm, at=time.fromisoformat(at), zone=zone)


def slot(meant: Schedule, now: str) -> str:
    found = latest_slot(meant, ZoneInfo(meant.zone), datetime.fromisoformat(now).astimezone(UTC))
    return f"{found:%Y-%m-%dT%H:%M}" if found else ""


@pytest.mark.parametrize(
    ("rhythm", "at", "now", "expected"),
    [
        (Rhythm.OFF, "07:00", "2026-11-27T12:00+00:00", ""),
        (Rhythm.DAILY, "07:00", "2026-11-27T12:00+00:00", "2026-11-27T06:00"),
        (Rhythm.DAILY, "07:00", "2026-11-27T06:00+00:00", "2026-11-27T06:00"),
        (Rhythm.DAILY, "07:00", "2026-11-27T05:59:59+00:00", "2026-11-26T06:00"),
        (Rhythm.DAILY, "00:30", "2026-11-26T23:45+00:00", "2026-11-26T23:30"),
        (Rhythm.WORKDAYS, "07:00", "2026-11-27T12:00+00:00", "2026-11-27T06:00"),
        (Rhythm.WORKDAYS, "07:00", "2026-11-29T12:00+00:00", "2026-11-27T06:00"),
        (Rhythm.WORKDAYS, "07:00", "2026-11-30T05:00+00:00", "2026-11-27T06:00"),
        (Rhythm.WEEKLY, "07:00", "2026-11-29T12:00+00:00", "2026-11-23T06:00"),
        (Rhythm.WEEKLY, "07:00", "2026-11-30T05:00+00:00", "2026-11-23T06:00"),
        (Rhythm.WEEKLY, "07:00", "2026-11-30T06:00+00:00", "2026-11-30T06:00"),
        # Berlin goes from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to 02:00 on 25 October.
        (Rhythm.DAILY, "02:30", "2026-03-29T00:59+00:00", "2026-03-28T01:30"),
        (Rhythm.DAILY, "02:30", "2026-03-29T12:00+00:00", "2026-03-29T01:30"),
        (Rhythm.DAILY, "02:30", "2026-03-30T12:00+00:00", "2026-03-30T00:30"),
        (Rhythm.DAILY, "02:30", "2026-10-25T00:29+00:00", "2026-10-24T00:30"),
        (Rhythm.DAILY, "02:30", "2026-10-25T00:30+00:00", "2026-10-25T00:30"),
        (Rhythm.DAILY, "02:30", "2026-10-25T01:30+00:00", "2026-10-25T00:30"),
        (Rhythm.DAILY, "07:00", "2026-03-29T12:00+00:00", "2026-03-29T05:00"),
        (Rhythm.DAILY, "07:00", "2026-10-25T12:00+00:00", "2026-10-25T06:00"),
    ],
)
def test_slot_is_the_last_time_of_the_schedule_on_the_wall_clock(
    rhythm: Rhythm, at: str, now: str, expected: str
) -> None:
    assert slot(schedule(rhythm, at), now) == expected


MOMENTS = st.integers(min_value=1_262_304_000, max_value=2_051_222_400).map(lambda s: datetime.fromtimestamp(s, UTC))
"""From 2010 to 2034."""
SCHEDULES = st.builds(
    Schedule,
    rhythm=st.sampled_from([Rhythm.DAILY, Rhythm.WORKDAYS, Rhythm.WEEKLY]),
    at=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    zone=st.sampled_from(ZONES),
)


@given(SCHEDULES, MOMENTS)
def test_slot_has_come_and_stays_until_the_next_one(meant: Schedule, now: datetime) -> None:
    zone = ZoneInfo(meant.zone)
    found = latest_slot(meant, zone, now)

    assert found is not None
    assert found <= now < found + timedelta(days=9)
    assert latest_slot(meant, zone, found) == found


@given(SCHEDULES, MOMENTS, st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=40)))
def test_slot_never_goes_back(meant: Schedule, now: datetime, later: timedelta) -> None:
    zone = ZoneInfo(meant.zone)
    first, second = latest_slot(meant, zone, now), latest_slot(meant, zone, now + later)

    assert first is not None
    assert second is not None
    assert first <= second


@given(SCHEDULES, MOMENTS)
@example(schedule(Rhythm.DAILY, "10:00", "Pacific/Apia"), datetime(2012, 1, 5, tzinfo=UTC))
def test_every_day_has_one_slot_at_most_and_a_daily_one_skips_none(meant: Schedule, begin: datetime) -> None:
    """Days on which the clock is changed, and the day that Apia left out, included."""
    zone = ZoneInfo(meant.zone)
    slots = []
    at = begin
    for _ in range(20):
        found = latest_slot(meant, zone, at)
        assert found is not None
        slots.append(found)
        at = found - timedelta(microseconds=1)
    days = [found.astimezone(zone).date() for found in slots]

    assert len(set(days)) == len(days)
    if meant.rhythm is Rhythm.DAILY:
        assert all(b - a >= -timedelta(hours=26) for a, b in itertools.pairwise(slots))


def test_first_digest_tells_of_one_period() -> None:
    meant = schedule(Rhythm.WORKDAYS)
    monday = datetime(2026, 11, 30, 6, tzinfo=UTC)

    assert first_since(meant, ZoneInfo(meant.zone), monday) == datetime(2026, 11, 27, 6, tzinfo=UTC)


@given(SCHEDULES)
def test_schedule_is_read_as_it_was_written(meant: Schedule) -> None:
    assert Schedule.of(str(meant)) == meant


@pytest.mark.parametrize(
    "text", ["", "daily", "daily 24:00 UTC", "hourly 07:00 UTC", "daily 7:00 UTC", "daily 07:00 ", "daily 07:60 UTC"]
)
def test_text_that_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Schedule.of(text)

"""What a week's traffic looks like: by hour and by day, stacked by action."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import TypeVar

from markupsafe import Markup

from filterd.core.hours import HOUR, hour_of
from filterd.core.verdict import Action
from filterd.review_ports import HourCount
from filterd.web.catalogue import Texts
from filterd.web.charts import Chart, Series, stacked

DAY = timedelta(days=1)
Drawn = tuple[Chart, Markup]
T = TypeVar("T", bound=date)


def by_hour(counts: Sequence[HourCount], now: datetime, zone: tzinfo, texts: Texts) -> Drawn:
    """The last 24 hours, the present one included, by the clock of ``zone``."""
    hours = [hour_of(now) - n * HOUR for n in reversed(range(24))]
    labels = {hour: f"{hour.astimezone(zone):%H}" for hour in hours}
    return _drawn(texts("overview.by_hour"), texts("overview.hour"), labels, _summed(counts, hour_of), texts)


def by_day(counts: Sequence[HourCount], now: datetime, zone: tzinfo, texts: Texts) -> Drawn:
    """The last seven days of the calendar of ``zone``, today included; the first one may be cut off.

    An hour of UTC counts for the day in which it begins.
    """

    def day_of(hour: datetime) -> date:
        return hour.astimezone(zone).date()

    days = [day_of(now) - n * DAY for n in reversed(range(7))]
    labels = {day: f"{day:%m-%d}" for day in days}
    return _drawn(texts("overview.by_day"), texts("overview.day"), labels, _summed(counts, day_of), texts)


def totals(counts: Sequence[HourCount], since: datetime) -> Counter[Action]:
    """How many verdicts of the hours from ``since`` on ended in each action."""
    found = Counter[Action]()
    for each in counts:
        if each.hour >= since:
            found[each.action] += each.count
    return found


def _drawn(title: str, axis: str, labels: Mapping[T, str], sums: Counter[tuple[T, Action]], texts: Texts) -> Drawn:
    series = tuple(
        Series(
            name=texts(f"action_taken.{action}"),
            shade=action.value,
            values=tuple(float(sums[moment, action]) for moment in labels),
        )
        for action in Action
    )
    chart = Chart(title=title, axis=axis, labels=tuple(labels.values()), series=series)
    return chart, stacked(chart)


def _summed(counts: Sequence[HourCount], span: Callable[[datetime], T]) -> Counter[tuple[T, Action]]:
    found = Counter[tuple[T, Action]]()
    for each in counts:
        found[span(each.hour), each.action] += each.count
    return found

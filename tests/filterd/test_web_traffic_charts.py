"""The week's traffic stands under the hours and days of whoever reads it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from filterd.core.envelope import Channel
from filterd.core.verdict import Action
from filterd.review_ports import HourCount
from filterd.web.catalogue import texts_of
from filterd.web.traffic_charts import by_day, by_hour

LATE = datetime(2026, 1, 7, 23, tzinfo=UTC)
COUNTS = [HourCount(hour=LATE, channel=Channel.EMAIL, action=Action.ACCEPT, count=3)]


def test_day_and_hour_of_a_message_are_those_of_the_zone() -> None:
    """23:00 UTC is midnight in Berlin, and belongs to the next day."""
    texts, berlin = texts_of("en"), ZoneInfo("Europe/Berlin")

    def places(zone: ZoneInfo | None) -> tuple[str, str]:
        charts = [draw(COUNTS, LATE, zone or UTC, texts)[0] for draw in (by_hour, by_day)]
        hour, day = (chart.labels[chart.series[0].values.index(3.0)] for chart in charts)
        return hour, day

    assert places(None) == ("23", "01-07")
    assert places(berlin) == ("00", "01-08")

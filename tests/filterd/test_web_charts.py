"""Charts are drawn as written, escape what they are given, and hold for no figures at all."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from filterd.web.charts import UNKNOWN, Chart, Series, lined, nice, ranked, stacked

TWO = Chart(
    title="Two days.",
    axis="day",
    labels=("1", "2"),
    series=(
        Series(name="accept", shade="accept", values=(60.0, 0.0)),
        Series(name="reject", shade="reject", values=(40.0, 25.0)),
    ),
)
_FRAME = (
    '<svg class="chart plot" viewBox="0 0 340 170" role="img" aria-label="Two days.">'
    '<path class="line" d="M36 152H336"/><text x="32" y="152" dy="3.5" text-anchor="end">0</text>'
    '<path class="line" d="M36 80H336"/><text x="32" y="80" dy="3.5" text-anchor="end">50</text>'
    '<path class="line" d="M36 8H336"/><text x="32" y="8" dy="3.5" text-anchor="end">100</text>'
)


def test_bars_stand_on_each_other() -> None:
    assert stacked(TWO) == (
        f"{_FRAME}"
        '<rect class="accept" x="47.2" y="65.6" width="127.5" height="86.4"/>'
        '<rect class="reject" x="47.2" y="8" width="127.5" height="57.6"/>'
        '<rect class="reject" x="197.2" y="116" width="127.5" height="36"/>'
        '<text x="111" y="165" text-anchor="middle">1</text><text x="261" y="165" text-anchor="middle">2</text></svg>'
    )


def test_lines_differ_by_more_than_colour() -> None:
    chart = replace(TWO, series=(TWO.series[0], Series(name="b", shade="b", values=(100.0, 50.0))))

    assert lined(chart) == (
        f"{_FRAME}"
        '<path class="accept" stroke-width="2" d="M36 65.6L336 152"/>'
        '<path class="b" stroke-width="2" stroke-dasharray="5 3" d="M36 8L336 80"/>'
        '<text x="36" y="165" text-anchor="middle">1</text><text x="336" y="165" text-anchor="end">2</text></svg>'
    )


def test_ranked_bars_have_their_name_and_value_above_them() -> None:
    chart = replace(
        TWO, labels=("uci", "none"), is_share=True, series=(Series(name="a", shade="a", values=(0.5, None)),)
    )

    assert ranked(chart) == (
        '<svg class="chart plot" viewBox="0 0 340 52" role="img" aria-label="Two days.">'
        '<text x="0" y="11">uci</text><text x="340" y="11" text-anchor="end">50.00 %</text>'
        '<rect class="track" x="0" y="15" width="340" height="6"/>'
        '<rect class="a" x="0" y="15" width="170" height="6"/>'
        f'<text x="0" y="37">none</text><text x="340" y="37" text-anchor="end">{UNKNOWN}</text>'
        '<rect class="track" x="0" y="41" width="340" height="6"/></svg>'
    )


def test_line_has_a_hole_where_nothing_is_known_and_a_dot_for_one_value() -> None:
    holed = replace(TWO, labels=("1", "2", "3"), series=(Series(name="a", shade="a", values=(1.0, None, 1.0)),))
    dot = replace(TWO, labels=("1",), series=(Series(name="a", shade="a", values=(1.0,)),))

    assert 'd="M36 8M336 8"' in lined(holed)
    assert 'd="M36 8h0"' in lined(dot)


@pytest.mark.parametrize("draw", [stacked, lined, ranked])
def test_chart_of_nothing_is_an_empty_frame(draw) -> None:
    empty = Chart(title="", axis="", labels=(), series=())

    assert ET.fromstring(draw(empty)).tag == "svg"


@pytest.mark.parametrize("draw", [stacked, lined, ranked])
def test_texts_cannot_leave_their_place(draw) -> None:
    hostile = '"><script>alert(1)</script>'
    chart = replace(TWO, title=hostile, labels=(hostile, "&"))

    tree = ET.fromstring(draw(chart))

    assert tree.get("aria-label") == hostile
    assert not [element for element in tree.iter() if "script" in element.tag]


@pytest.mark.parametrize("draw", [stacked, lined, ranked])
def test_everything_is_drawn_within_the_picture_and_without_style(draw) -> None:
    many = Chart(
        title="t",
        axis="a",
        labels=tuple(f"{hour:02}" for hour in range(24)),
        series=tuple(Series(name=n, shade=n, values=tuple(float(i * i) for i in range(24))) for n in ("a", "b", "c")),
    )

    picture = draw(many)

    assert "style" not in picture
    tree = ET.fromstring(picture)
    across, down = map(float, tree.get("viewBox", "").split()[2:])
    for element in tree.iter("rect"):
        x, y, width, height = (float(element.get(name, "nan")) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + width <= across
        assert 0 <= y <= y + height <= down
    assert len(re.findall(r"<text [^>]*y=\"165\"", picture)) <= 6


@pytest.mark.parametrize(
    ("value", "end"),
    [(0, 1), (0.03, 0.05), (1, 1), (1.1, 2), (21, 25), (99, 100), (101, 200), (1000, 1000), (7e6, 1e7)],
)
def test_axis_ends_at_a_round_number(value: float, end: float) -> None:
    assert nice(value) == pytest.approx(end)


def test_table_says_what_is_not_known() -> None:
    shares = replace(TWO, is_share=True)

    assert [TWO.shown(value) for value in (None, float("nan"), 3.0, 0.25)] == [UNKNOWN, UNKNOWN, "3", "0.25"]
    assert shares.shown(0.1234) == "12.34 %"

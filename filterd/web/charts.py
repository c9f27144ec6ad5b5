"""Charts as SVG text: stacked bars and lines, drawn here so that pages need no script. Pure.

A chart is a picture with one sentence for those who cannot see it; the page puts the same figures beside it as a table
(``templates/_chart.html``). Colours are classes of the style sheet, so that light and dark are one picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 340, 170
"""User units. On a narrow phone one is about a pixel, so that the letters stay readable."""
UNKNOWN = "\N{EN DASH}"
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 4, 8, 18
_ROW = 26
_MOST_LABELS = 6
_GAP = 0.15
"""Of a bar's place, left free."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_DASHES = ("", "5 3", "1.5 2.5", "8 2 2 2")
"""Lines differ by more than their colour (WCAG 2.2, 1.4.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One colour of a chart."""

    name: str
    """As people read it."""
    shade: str
    """Class of the style sheet: ``[a-z0-9-]+``."""
    values: tuple[float | None, ...]
    """One for each label of the chart; None where nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """What is drawn, and what stands in the table beside it."""

    title: str
    """One sentence that says what is to be seen."""
    axis: str
    """What the labels are: head of the table's first column."""
    labels: tuple[str, ...]
    series: tuple[Series, ...]
    is_share: bool = False
    """Values are shares, [0, 1], and shown per cent."""

    def shown(self, value: float | None) -> str:
        """A value as the table has it."""
        if value is None or math.isnan(value):
            return UNKNOWN
        if self.is_share:
            return f"{100 * value:.2f} %"
        return f"{value:.4g}" if value % 1 else f"{value:.0f}"


def stacked(chart: Chart) -> Markup:
    """Bars, the series on top of each other."""
    sums = [sum(_known(series, at) for series in chart.series) for at in range(len(chart.labels))]
    top = nice(max(sums, default=0.0))
    place = (WIDTH - _LEFT - _RIGHT) / max(len(chart.labels), 1)

    def draw() -> Iterator[str]:
        for at in range(len(chart.labels)):
            below = 0.0
            for series in chart.series:
                value = _known(series, at)
                if value > 0:
                    x, y = _LEFT + place * (at + _GAP / 2), _height(below + value, top)
                    size = f'width="{_n(place * (1 - _GAP))}" height="{_n(_height(below, top) - y)}"'
                    yield f'<rect class="{series.shade}" x="{_n(x)}" y="{_n(y)}" {size}/>'
                below += value

    return _framed(chart, top, draw, lambda at: _LEFT + place * (at + 0.5))


def lined(chart: Chart) -> Markup:
    """One line for each series; where nothing is known it has a hole."""
    known = [value for series in chart.series for value in series.values if value is not None]
    top = nice(max(known, default=0.0))
    step = (WIDTH - _LEFT - _RIGHT) / max(len(chart.labels) - 1, 1)

    def draw() -> Iterator[str]:
        for number, series in enumerate(chart.series):
            dash = _DASHES[number % len(_DASHES)]
            points = [
                None if value is None else (_LEFT + step * at, _height(value, top))
                for at, value in enumerate(series.values)
            ]
            dashes = f' stroke-dasharray="{dash}"' if dash else ""
            yield f'<path class="{series.shade}" stroke-width="2"{dashes} d="{_path(points)}"/>'

    return _framed(chart, top, draw, lambda at: _LEFT + step * at)


def ranked(chart: Chart) -> Markup:
    """A bar for each label, from left to right, its name and value above it; only of the first series."""
    values = chart.series[0].values if chart.series else ()
    top = 1.0 if chart.is_share else max((value or 0.0 for value in values), default=0.0) or 1.0
    height = _ROW * len(chart.labels)
    parts = [f'<svg class="chart plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(chart.title)}">']
    for at, (label, value) in enumerate(zip(chart.labels, values, strict=True)):
        y = _ROW * at
        parts += [
            f'<text x="0" y="{y + 11}">{escape(label)}</text>',
            f'<text x="{WIDTH}" y="{y + 11}" text-anchor="end">{chart.shown(value)}</text>',
            f'<rect class="track" x="0" y="{y + 15}" width="{WIDTH}" height="6"/>',
        ]
        if value:
            width = _n(WIDTH * value / top)
            parts.append(f'<rect class="{chart.series[0].shade}" x="0" y="{y + 15}" width="{width}" height="6"/>')
    return Markup("".join([*parts, "</svg>"]))  # noqa: S704  # as in _framed


def nice(value: float) -> float:
    """The end of an axis that reaches ``value``: 1, 2, 2.5 or 5 times a power of ten; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in _STEPS if step * power >= value * (1 - 1e-9))


def _framed(chart: Chart, top: float, draw: Callable[[], Iterator[str]], middle: Callable[[int], float]) -> Markup:
    parts = [
        f'<svg class="chart plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">',
        *_grid(chart, top),
        *draw(),
        *_labels(chart.labels, middle),
        "</svg>",
    ]
    return Markup("".join(parts))  # noqa: S704  # texts are escaped, everything else is numbers and our classes


def _grid(chart: Chart, top: float) -> Iterator[str]:
    for part in (0.0, 0.5, 1.0):
        y = _n(_height(top * part, top))
        yield f'<path class="line" d="M{_LEFT} {y}H{WIDTH - _RIGHT}"/>'
        yield f'<text x="{_LEFT - 4}" y="{y}" dy="3.5" text-anchor="end">{_tick(chart, top * part)}</text>'


def _labels(labels: Sequence[str], middle: Callable[[int], float]) -> Iterator[str]:
    every = max(1, math.ceil(len(labels) / _MOST_LABELS))
    for at in range(0, len(labels), every):
        x = min(max(middle(at), _LEFT), WIDTH - _RIGHT)
        anchor = "end" if x > WIDTH - 20 else "middle"
        yield f'<text x="{_n(x)}" y="{HEIGHT - 5}" text-anchor="{anchor}">{escape(labels[at])}</text>'


def _tick(chart: Chart, value: float) -> str:
    if chart.is_share:
        return f"{100 * value:.4g} %"
    return f"{value / 1_000:.4g}k" if value >= 1_000 else f"{value:.4g}"


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    path, is_drawing = [], False
    for point in points:
        if point is not None:
            path.append(f"{'L' if is_drawing else 'M'}{_n(point[0])} {_n(point[1])}")
        is_drawing = point is not None
    # A line of one point has no length; with a round end it is a dot.
    return "".join(path) + ("h0" if len(path) == 1 else "")


def _known(series: Series, at: int) -> float:
    return series.values[at] or 0.0


def _height(value: float, top: float) -> float:
    """How far down ``value`` is."""
    return _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - value / top)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

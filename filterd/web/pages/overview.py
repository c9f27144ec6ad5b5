"""The page at /: what came in, what became of it, and for the staff how well the filter does."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from filterd.core.envelope import Channel
from filterd.core.hours import HOUR, hour_of
from filterd.core.quality import Estimate
from filterd.core.verdict import Action
from filterd.review_ports import COUNT_LIMIT
from filterd.web.figures import figures_for
from filterd.web.guard import Visit, visited
from filterd.web.parts import WebParts
from filterd.web.traffic_charts import DAY, Drawn, by_day, by_hour, totals

_WORDS = 5
_ANYTHING = 0.999
"""Bounds that are so far apart say nothing."""


def overview_pages(parts: WebParts) -> list[Route]:
    """What is at /."""
    return [Route("/", visited(parts, _show), methods=["GET"])]


async def _show(visit: Visit) -> Response:
    parts, texts = visit.parts, visit.texts
    found = await figures_for(visit.person, parts.figures, parts.review, parts.ledger, parts.clock)
    now = parts.clock.now()
    charts: Sequence[Drawn] = ()
    sums: Sequence[Counter[Action]] = ()
    if found.counts is not None:
        charts = [draw(found.counts, now, visit.zone, texts) for draw in (by_hour, by_day)]
        sums = tuple(totals(found.counts, hour_of(now) - past) for past in (DAY - HOUR, 7 * DAY - HOUR))
    return visit.page(
        "overview.html",
        found=found,
        charts=charts,
        sums=sums,
        actions=tuple(Action),
        channels=tuple(Channel),
        is_more_held=found.held is not None and found.held >= COUNT_LIMIT,
        serving=parts.models.serving(),
        estimate=_estimate,
        age=_age,
        number=_number,
        words=_WORDS,
    )


def _estimate(value: Estimate) -> str:
    """A share with its bounds; empty where nothing is known, and it may be anything."""
    if math.isnan(value.estimate) or value.high - value.low > _ANYTHING:
        return ""
    return f"{100 * value.estimate:.2f} % ({100 * value.low:.2f}-{100 * value.high:.2f} %)"


def _age(seconds: float) -> str:
    """Days and hours; empty where it is not known."""
    if math.isnan(seconds):
        return ""
    days, rest = divmod(int(seconds), 86_400)
    return f"{days} d {rest // 3_600} h" if days else f"{rest // 3_600} h {rest % 3_600 // 60} min"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"

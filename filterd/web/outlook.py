"""What other thresholds would have done with somebody's messages of the last days, for pages and API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from filterd.core.access import reach_of
from filterd.core.threshold_preview import MOST_PREVIEWED, POSITIONS, PREVIEW_DAYS, Outlook, outlooks
from filterd.review_ports import Review


async def looked_back(
    review: Review, scope: str, now: datetime, thresholds: Sequence[float] = POSITIONS
) -> Sequence[Outlook]:
    """One outlook for each threshold, in their order. Raises StoreUnavailable."""
    judged = await review.judged(reach_of(scope), now - timedelta(days=PREVIEW_DAYS), most=MOST_PREVIEWED)
    return outlooks(judged, thresholds)

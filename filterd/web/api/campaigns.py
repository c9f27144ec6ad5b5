"""Messages with nearly the same text."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel

from filterd.core.access import EVERYBODY
from filterd.core.envelope import Channel
from filterd.review_ports import Campaign
from filterd.web.api.parts import MAX_PAGE, QuarantineToken, parts_of, text_of

_MAX_DAYS = 31


class CampaignOut(BaseModel):
    """Messages with nearly the same text, and what people said of them."""

    channel: Channel
    count: int
    first_at: datetime
    last_at: datetime
    messages: tuple[str, ...]
    """The newest first."""
    held: tuple[str, ...]
    """Those in the quarantine, by the ids they have there."""
    senders: int
    """Different envelope senders."""
    sender: str
    """Of the newest."""
    subject: str
    """Of the newest that is held; empty where none is."""
    probability: float | None
    """Of the newest."""
    spam_labels: int
    ham_labels: int


class CampaignsOut(BaseModel):
    """The largest first."""

    campaigns: tuple[CampaignOut, ...]


def campaign_routes() -> APIRouter:
    """What is at /campaigns."""
    router = APIRouter()
    router.add_api_route("/campaigns", list_campaigns, methods=["GET"])
    return router


async def list_campaigns(
    request: Request,
    token: QuarantineToken,  # noqa: ARG001  # checked on the way in
    days: Annotated[int, Query(ge=1, le=_MAX_DAYS)] = 7,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> CampaignsOut:
    """Groups of at least two messages of the last ``days`` with nearly the same text, the largest first."""
    parts = parts_of(request)
    found = await parts.review.campaigns(EVERYBODY, parts.clock.now() - timedelta(days=days))
    return CampaignsOut(campaigns=tuple(map(_shown, found[:limit])))


def _shown(campaign: Campaign) -> CampaignOut:
    fields = {name: getattr(campaign, name) for name in CampaignOut.model_fields}
    return CampaignOut(**fields | {"sender": text_of(campaign.sender), "subject": text_of(campaign.subject)})

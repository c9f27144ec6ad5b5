"""Labels: given and taken back."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from filterd.account_ports import Scope
from filterd.core.envelope import address_key
from filterd.core.verdict import Feedback, Label
from filterd.feedback_ports import Labels
from filterd.labeller import write_down
from filterd.web.api.document import problems
from filterd.web.api.parts import Body, FeedbackToken, Moment, message_id, parts_of
from filterd.web.auth import may


class FeedbackIn(Body):
    """A label for a message."""

    id: str
    label: Label
    recipient: Annotated[str, Field(max_length=320)] = ""
    """The recipient who says so; they are the reporter then, and it acts on their mail first."""


class FeedbackOut(BaseModel):
    """A label that stands."""

    id: str
    label: Label
    new: bool


class RevokeIn(Body):
    """Which labels to take back; what is left out says nothing."""

    message: str = ""
    reporter: str = ""
    sender_domain: str = ""
    campaign: str = ""
    """A message; labels on it and on near copies of it."""
    since: Moment | None = None
    until: Moment | None = None
    dry_run: bool = False


class RevokedOut(BaseModel):
    """Numbers of the labels that were taken back, or would be."""

    labels: tuple[int, ...]


def feedback_routes() -> APIRouter:
    """What is under /feedback."""
    router = APIRouter()
    errors = problems(404, 409)
    again = {200: {"model": FeedbackOut, "description": "It stands already."}} | errors
    router.add_api_route("/feedback", add_feedback, methods=["POST"], status_code=201, responses=again)
    router.add_api_route("/feedback/revoke", revoke_feedback, methods=["POST"], responses=errors)
    return router


async def add_feedback(request: Request, response: Response, body: FeedbackIn, token: FeedbackToken) -> FeedbackOut:
    """Label a message. 201 the first time, 200 when the label stands already."""
    parts = parts_of(request)
    feedback = Feedback(
        message_id=message_id(body.id),
        label=body.label,
        reporter=address_key(body.recipient) or token.name,
        given_at=parts.clock.now(),
        recipient=body.recipient,
        is_for_all=not body.recipient and may(token, Scope.ADMIN),
    )
    is_new = await write_down(feedback, parts.ledger, parts.metrics, parts.events)
    response.status_code = 201 if is_new else 200
    return FeedbackOut(id=body.id, label=body.label, new=is_new)


async def revoke_feedback(request: Request, body: RevokeIn, token: FeedbackToken) -> RevokedOut:
    """Take labels back: those that fit everything given. Without the scope admin, only the token's own."""
    labels = Labels(
        message=message_id(body.message) if body.message else None,
        reporter=body.reporter if may(token, Scope.ADMIN) else token.name,
        sender_domain=body.sender_domain,
        campaign=message_id(body.campaign) if body.campaign else None,
        since=body.since,
        until=body.until,
    )
    found = await parts_of(request).ledger.revoke(labels, token.name, is_rehearsal=body.dry_run)
    return RevokedOut(labels=tuple(found))

"""What people did, over all books, and taking it back."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from filterd.account_ports import Scope, Token
from filterd.core.envelope import Channel
from filterd.deed_ports import RULE_KINDS, DeedKind, Selection
from filterd.web.api.document import problems
from filterd.web.api.parts import MAX_PAGE, AdminToken, Body, Moment, UndoToken, message_id, parts_of
from filterd.web.auth import may

_KINDS = {
    Scope.FEEDBACK: frozenset({DeedKind.LABEL}),
    Scope.RULES: RULE_KINDS,
    Scope.QUARANTINE: frozenset({DeedKind.RELEASE}),
    Scope.ADMIN: frozenset(DeedKind),
}
"""What bearers of a token may take back."""


class UndoIn(Body):
    """What to take back; what is left out says nothing."""

    message: str = ""
    by: str = ""
    sender_domain: str = ""
    campaign: str = ""
    """A message; what was done about it and near copies of it."""
    since: Moment | None = None
    until: Moment | None = None
    kinds: frozenset[DeedKind] = frozenset()
    """Empty means all that the token may take back."""
    dry_run: bool = False


class UndoneOut(BaseModel):
    """What was taken back, or would be."""

    labels: tuple[int, ...]
    rules: tuple[int, ...]
    releases: tuple[str, ...]
    """Their labels and list entries are among the others; the mail itself is delivered and cannot be called back."""
    promotions: tuple[str, ...]
    seen_by: tuple[str, ...]
    """Bundles that were trained on one of the labels."""
    serving: dict[Channel, str]
    """Where a promotion was taken back, the bundle that serves now."""


class EventOut(BaseModel):
    """Something that somebody did."""

    model_config = ConfigDict(from_attributes=True)

    kind: DeedKind
    number: int
    at: datetime
    by: str
    message: str | None
    what: str
    revoked_at: datetime | None
    revoked_by: str


class EventsOut(BaseModel):
    """The latest first."""

    events: tuple[EventOut, ...]


def undo_routes() -> APIRouter:
    """What is at /events and /undo."""
    router = APIRouter()
    router.add_api_route("/events", list_events, methods=["GET"], responses=problems(404))
    router.add_api_route("/undo", undo, methods=["POST"], responses=problems(404, 409))
    return router


async def list_events(
    request: Request,
    token: AdminToken,  # noqa: ARG001  # checked on the way in
    by: Annotated[str, Query(max_length=320)] = "",
    kind: Annotated[list[DeedKind] | None, Query()] = None,
    message: str = "",
    revoked: bool = False,  # noqa: FBT001, FBT002  # a query parameter
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> EventsOut:
    """Labels, rules, releases and promotions that stand, or with ``revoked=1`` all."""
    meant = Selection(
        message=message_id(message) if message else None, by=by, kinds=frozenset(kind) if kind else frozenset(DeedKind)
    )
    found = await parts_of(request).undoing.find(meant, has_revoked=revoked, limit=limit)
    return EventsOut(events=tuple(map(EventOut.model_validate, found)))


async def undo(request: Request, body: UndoIn, token: UndoToken) -> UndoneOut:
    """Take back what fits everything given. Without the scope admin, only what the token itself did."""
    meant = Selection(
        message=message_id(body.message) if body.message else None,
        by=body.by if may(token, Scope.ADMIN) else token.name,
        sender_domain=body.sender_domain,
        campaign=message_id(body.campaign) if body.campaign else None,
        since=body.since,
        until=body.until,
        kinds=_kinds(body, token),
    )
    undoing = parts_of(request).undoing
    found = await (undoing.rehearse if body.dry_run else undoing.undo)(meant, token.name)
    return UndoneOut(
        labels=found.undone.labels,
        rules=found.undone.rules,
        releases=found.undone.releases,
        promotions=found.undone.promotions,
        seen_by=found.seen_by,
        serving=dict(found.serving),
    )


def _kinds(body: UndoIn, token: Token) -> frozenset[DeedKind]:
    allowed = frozenset(kind for scope, kinds in _KINDS.items() if may(token, scope) for kind in kinds)
    if not body.kinds <= allowed:
        raise HTTPException(403)
    return body.kinds or allowed

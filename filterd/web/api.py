"""The HTTP API under /api/v1: feedback, quarantine and verdicts, for bearers of a token."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from filterd.core.envelope import Channel, MessageId, address_key
from filterd.core.questions import Why
from filterd.core.verdict import Feedback, Label
from filterd.errors import NotFound
from filterd.feedback_ports import FeedbackLedger, Labels
from filterd.labeller import write_down
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.ports import (
    Clock,
    HeldState,
    HeldSummary,
    Quarantine,
    Scope,
    Token,
    TokenStore,
    VerdictRow,
)
from filterd.quality_ports import Questions
from filterd.questions import ask
from filterd.release import Releaser
from filterd.web.auth import identify, may

_ID = re.compile(r"[0-9a-f]{32}")
_HEADER_BYTES = 65_536
_MAX_PAGE = 200
_MAX_QUESTIONS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """What the API works on."""

    quarantine: Quarantine
    ledger: FeedbackLedger
    tokens: TokenStore
    questions: Questions
    releaser: Releaser
    clock: Clock
    metrics: Metrics
    events: Events


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FeedbackIn(_Body):
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


class RevokeIn(_Body):
    """Which labels to take back; what is left out says nothing."""

    message: str = ""
    reporter: str = ""
    sender_domain: str = ""
    campaign: str = ""
    """A message; labels on it and on near copies of it."""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    dry_run: bool = False


class RevokedOut(BaseModel):
    """Numbers of the labels that were taken back, or would be."""

    labels: tuple[int, ...]


class ReleaseIn(_Body):
    """How to release a message."""

    label_ham: bool = False


class ReleaseOut(BaseModel):
    """A released message, and the next hop's reply."""

    id: str
    delivered: bool
    reply: str


class HeldOut(BaseModel):
    """A held message."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    channel: Channel
    state: HeldState
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    subject: str
    size_bytes: int
    action: str
    reason: str
    detail: str
    probability: float | None
    model: str


class HeldDetailOut(HeldOut):
    """A held message with its header."""

    headers: str
    """The header block as it is, up to 64 KiB; octets above 127 are replaced. Empty for an SMS."""


class HeldPage(BaseModel):
    """A part of the quarantine, newest first."""

    messages: tuple[HeldOut, ...]
    next: str | None
    """What to give as ``before`` for the next page."""


class VerdictOut(BaseModel):
    """One decision about a message."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    channel: Channel
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    peer: str
    size_bytes: int
    action: str
    reason: str
    detail: str
    outcome: str
    reply_code: int
    probability: float | None
    logit: float | None
    correction: float
    threshold: float | None
    model: str
    fingerprint: str
    elapsed_seconds: float
    policy: str
    reports: tuple[int, ...]


class VerdictsOut(BaseModel):
    """Decisions, one per message and group of its recipients."""

    verdicts: tuple[VerdictOut, ...]


class QuestionOut(VerdictOut):
    """A message whose label would help, as the group of its recipients that is named first has it."""

    why: Why
    words: tuple[str, ...]
    """What moved the probability most."""


class QuestionsOut(BaseModel):
    """What to ask about, the most useful first."""

    questions: tuple[QuestionOut, ...]


class _Bearer:
    """Lets bearers of a token with the scope in."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, request: Request) -> Token:
        token = await identify(request.headers.get("authorization", ""), _parts(request).tokens)
        if token is None:
            raise HTTPException(401, headers={"www-authenticate": "Bearer"})
        if not may(token, self._scope):
            raise HTTPException(403)
        return token


FeedbackToken = Annotated[Token, Depends(_Bearer(Scope.FEEDBACK))]
QuarantineToken = Annotated[Token, Depends(_Bearer(Scope.QUARANTINE))]


def add_routes(app: FastAPI) -> None:
    """Put the API on ``app``, whose state has ``parts``."""
    router = APIRouter()
    router.add_api_route("/feedback", add_feedback, methods=["POST"], status_code=201)
    router.add_api_route("/feedback/revoke", revoke_feedback, methods=["POST"])
    router.add_api_route("/quarantine", list_held, methods=["GET"])
    router.add_api_route("/quarantine/{id}", show_held, methods=["GET"], response_model=HeldDetailOut)
    router.add_api_route("/quarantine/{id}", delete_held, methods=["DELETE"], status_code=204)
    router.add_api_route("/quarantine/{id}/release", release_held, methods=["POST"], response_model=ReleaseOut)
    router.add_api_route("/verdicts", list_verdicts, methods=["GET"])
    router.add_api_route("/verdicts/{id}", show_verdicts, methods=["GET"])
    router.add_api_route("/questions", list_questions, methods=["GET"])
    app.include_router(router)


async def add_feedback(request: Request, response: Response, body: FeedbackIn, token: FeedbackToken) -> FeedbackOut:
    """Label a message. 201 the first time, 200 when the label stands already."""
    parts = _parts(request)
    feedback = Feedback(
        message_id=_message_id(body.id),
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
        message=_message_id(body.message) if body.message else None,
        reporter=body.reporter if may(token, Scope.ADMIN) else token.name,
        sender_domain=body.sender_domain,
        campaign=_message_id(body.campaign) if body.campaign else None,
        since=body.since,
        until=body.until,
    )
    found = await _parts(request).ledger.revoke(labels, token.name, is_rehearsal=body.dry_run)
    return RevokedOut(labels=tuple(found))


async def list_held(
    request: Request,
    token: QuarantineToken,  # noqa: ARG001  # checked on the way in
    limit: Annotated[int, Query(ge=1, le=_MAX_PAGE)] = 50,
    before: str | None = None,
    channel: Channel | None = None,
    query: Annotated[str, Query(max_length=256)] = "",
) -> HeldPage:
    """Held messages, newest first."""
    start = _message_id(before) if before else None
    found = await _parts(request).quarantine.list_held(limit=limit + 1, before=start, channel=channel, query=query)
    page = found[:limit]
    return HeldPage(
        messages=tuple(HeldOut.model_validate(_clean(summary)) for summary in page),
        next=page[-1].id if len(found) > limit else None,
    )


async def show_held(
    request: Request,
    id: str,
    token: QuarantineToken,  # noqa: ARG001  # checked on the way in
    raw: bool = False,  # noqa: FBT001, FBT002  # a query parameter
) -> Any:
    """A held message: what is known of it and its header, or with ``raw=1`` the message itself as a download."""
    held = await _parts(request).quarantine.held(_message_id(id))
    is_mail = held.envelope.channel is Channel.EMAIL
    if raw:
        name = f"{held.summary.id}.{'eml' if is_mail else 'txt'}"
        headers = {
            "content-disposition": f'attachment; filename="{name}"',
            "content-security-policy": "default-src 'none'; sandbox",
        }
        kind = "message/rfc822" if is_mail else "application/octet-stream"
        return Response(held.raw, headers=headers, media_type=kind)
    header = held.raw[:_HEADER_BYTES].partition(b"\r\n\r\n")[0] if is_mail else b""
    return _clean(held.summary) | {"headers": header.decode("ascii", "replace")}


async def release_held(request: Request, id: str, token: QuarantineToken, body: ReleaseIn | None = None) -> ReleaseOut:
    """Hand a held message on. 502 with the next hop's reply when it does not take it; it is held again then."""
    is_ham = body is not None and body.label_ham
    released = await _parts(request).releaser.release(_message_id(id), token.name, label_ham=is_ham)
    reply = released.reply.render().replace("\r\n", " ")
    if not released.delivered:
        raise HTTPException(502, f"the next hop said: {reply}")
    return ReleaseOut(id=released.id, delivered=True, reply=reply)


async def delete_held(request: Request, id: str, token: QuarantineToken) -> None:
    """Delete a held message."""
    parts = _parts(request)
    await parts.quarantine.delete_held(_message_id(id), token.name)
    parts.events.deleted(id, token.name)


async def list_verdicts(
    request: Request,
    token: QuarantineToken,  # noqa: ARG001  # checked on the way in
    limit: Annotated[int, Query(ge=1, le=_MAX_PAGE)] = 50,
    channel: Channel | None = None,
) -> VerdictsOut:
    """The latest verdicts, newest first."""
    rows = await _parts(request).ledger.recent(limit=limit, channel=channel)
    return VerdictsOut(verdicts=tuple(VerdictOut.model_validate(_clean(row)) for row in rows))


async def show_verdicts(
    request: Request,
    id: str,
    token: QuarantineToken,  # noqa: ARG001  # checked on the way in
) -> VerdictsOut:
    """What was decided about a message."""
    rows = await _parts(request).ledger.verdicts(_message_id(id))
    return VerdictsOut(verdicts=tuple(VerdictOut.model_validate(_clean(row)) for row in rows))


async def list_questions(
    request: Request,
    token: QuarantineToken,  # noqa: ARG001  # checked on the way in
    limit: Annotated[int, Query(ge=1, le=_MAX_QUESTIONS)] = 5,
) -> QuestionsOut:
    """The few messages whose label would help most; answered with ``POST /feedback``."""
    parts = _parts(request)
    return QuestionsOut(
        questions=tuple(
            QuestionOut.model_validate(
                _clean(asked.verdict)
                | {"why": asked.why, "words": tuple(_text(found.token) for found in asked.verdict.evidence)}
            )
            for asked in await ask(parts.questions, parts.ledger, parts.clock, limit)
        )
    )


def _parts(request: Request) -> ApiParts:
    parts = request.app.state.parts
    assert isinstance(parts, ApiParts)
    return parts


def _message_id(text: str) -> MessageId:
    """Raises NotFound for what cannot be an id: to the caller it is one more that does not exist."""
    if not _ID.fullmatch(text):
        raise NotFound("no such message")
    return MessageId(text)


def _clean(value: HeldSummary | VerdictRow) -> dict[str, Any]:
    """The fields of ``value``; octets of an address that are no text, which JSON cannot hold, replaced."""
    fields = {name: getattr(value, name) for name in value.__slots__}
    replaced = {name: _text(field) for name, field in fields.items() if type(field) is str}
    return fields | replaced | {"recipients": tuple(_text(r) for r in value.recipients)}


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode()

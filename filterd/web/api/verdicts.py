"""What was decided, and which labels would help most."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict

from filterd.core.envelope import Channel
from filterd.core.explanation import take_apart
from filterd.core.questions import Why
from filterd.core.verdict import Label
from filterd.feedback_ports import Similar
from filterd.ports import VerdictRow
from filterd.questions import ask
from filterd.web.api.document import problems
from filterd.web.api.filters import VerdictFilter
from filterd.web.api.parts import QuarantineToken, clean, message_id, parts_of, text_of
from filterd.web.paging import page_of

_MAX_QUESTIONS = 50


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


class VerdictPage(VerdictsOut):
    """A part of the verdicts, newest first; those on one message are never parted."""

    next: str | None
    """What to give as ``before`` for the next page."""


class PartOut(BaseModel):
    """One summand of the log-odds."""

    token: str
    weight: float


class SimilarOut(BaseModel):
    """A labelled message that is like another."""

    message: str
    label: Label
    reporter: str
    given_at: datetime
    distance: int
    """Bits of 256 in which the fingerprints differ."""


class ExplanationOut(VerdictOut):
    """One decision taken apart."""

    parts: tuple[PartOut, ...]
    """The words that moved the log-odds most, labels, and everything else; they add up to ``total``."""
    total: float | None
    """Log-odds that the probability was made of; null where the message was not scored."""
    signals: tuple[str, ...]
    similar: tuple[SimilarOut, ...]


class ExplanationsOut(BaseModel):
    """Why a message was treated as it was, one per group of its recipients."""

    verdicts: tuple[ExplanationOut, ...]


class QuestionOut(VerdictOut):
    """A message whose label would help, as the group of its recipients that is named first has it."""

    why: Why
    words: tuple[str, ...]
    """What moved the probability most."""


class QuestionsOut(BaseModel):
    """What to ask about, the most useful first."""

    questions: tuple[QuestionOut, ...]


def verdict_routes() -> APIRouter:
    """What is under /verdicts and /questions."""
    router = APIRouter()
    absent = problems(404)
    router.add_api_route("/verdicts", list_verdicts, methods=["GET"], responses=absent)
    router.add_api_route("/verdicts/{id}", show_verdicts, methods=["GET"], responses=absent)
    router.add_api_route("/verdicts/{id}/explanation", explain, methods=["GET"], responses=absent)
    router.add_api_route("/questions", list_questions, methods=["GET"])
    return router


async def list_verdicts(
    request: Request,
    token: QuarantineToken,  # noqa: ARG001  # checked on the way in
    meant: Annotated[VerdictFilter, Query()],
) -> VerdictPage:
    """Verdicts, newest first: those that fit everything given."""
    rows, last = page_of(await parts_of(request).review.history(meant.asked), meant.limit)
    return VerdictPage(verdicts=tuple(VerdictOut.model_validate(clean(row)) for row in rows), next=last)


async def show_verdicts(
    request: Request,
    id: str,
    token: QuarantineToken,  # noqa: ARG001  # checked on the way in
) -> VerdictsOut:
    """What was decided about a message."""
    rows = await parts_of(request).ledger.verdicts(message_id(id))
    return VerdictsOut(verdicts=tuple(VerdictOut.model_validate(clean(row)) for row in rows))


async def explain(
    request: Request,
    id: str,
    token: QuarantineToken,  # noqa: ARG001  # checked on the way in
) -> ExplanationsOut:
    """Why: the words and what they weigh, the facts, and the labelled messages it is like."""
    parts = parts_of(request)
    rows = await parts.ledger.verdicts(message_id(id))
    return ExplanationsOut(
        verdicts=tuple([_explained(row, await parts.examples.similar(row.channel, row.fingerprint)) for row in rows])
    )


def _explained(row: VerdictRow, similar: Sequence[Similar]) -> ExplanationOut:
    sums = None if row.logit is None else take_apart(row.logit, row.correction, row.evidence)
    alike = [
        SimilarOut(
            message=found.message,
            label=found.report.label,
            reporter=text_of(found.report.reporter),
            given_at=found.report.given_at,
            distance=found.distance,
        )
        for found in similar
    ]
    said = () if sums is None else (PartOut(token=text_of(p.token), weight=p.weight) for p in sums.parts)
    fields = clean(row) | {"parts": tuple(said), "total": None if sums is None else sums.total}
    return ExplanationOut.model_validate(fields | {"similar": tuple(alike)})


async def list_questions(
    request: Request,
    token: QuarantineToken,  # noqa: ARG001  # checked on the way in
    limit: Annotated[int, Query(ge=1, le=_MAX_QUESTIONS)] = 5,
) -> QuestionsOut:
    """The few messages whose label would help most; answered with ``POST /feedback``."""
    parts = parts_of(request)
    return QuestionsOut(
        questions=tuple(
            QuestionOut.model_validate(
                clean(asked.verdict)
                | {"why": asked.why, "words": tuple(text_of(found.token) for found in asked.verdict.evidence)}
            )
            for asked in await ask(parts.questions, parts.ledger, parts.clock, limit)
        )
    )

"""Counts of verdicts and of the labels on them, each read through an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Subquery, case, func, select

from filterd.core.envelope import Channel, MessageId
from filterd.core.quality import SCORE_EDGES
from filterd.core.questions import Candidate
from filterd.core.verdict import Action, Label, OutcomeKind
from filterd.quality_ports import LabelledVerdict, Tally, Unlabelled
from filterd.store.schema import FeedbackRecord, VerdictRecord

_LOOKED_AT = 2_000
"""Verdicts among which one of a channel is looked for."""


_KNOWN = 100
"""Labels whose texts are asked about no more."""
_LABELLED = select(FeedbackRecord.message_id).where(FeedbackRecord.revoked_at.is_(None))
_REACHED = (OutcomeKind.RELAYED.value, OutcomeKind.HELD.value, OutcomeKind.ADVISED.value)
WAS_SENT = VerdictRecord.outcome != OutcomeKind.TAUGHT.value
"""What people bring to be learned from says nothing about the mail that comes."""


def tally(connection: Connection, since: datetime, until: datetime, most: int) -> Sequence[Tally]:
    """How many verdicts of a time were alike; verdicts, not messages: few have more than one."""
    table = VerdictRecord
    taken = (
        select(table.channel, table.model, table.action, table.script, table.probability)
        .where(table.received_at >= since, table.received_at < until, WAS_SENT)
        .order_by(table.received_at)
        .limit(most)
        .subquery()
    )
    keys = (taken.c.channel, taken.c.model, taken.c.action, taken.c.script, _score(taken))
    return tuple(
        Tally(channel=Channel(channel), model=model, action=Action(action), script=script, score=score, count=count)
        for channel, model, action, script, score, count in connection.execute(
            select(*keys, func.count()).group_by(*keys)
        )
    )


def _score(taken: Subquery) -> ColumnElement[int]:
    steps: list[Any] = [(taken.c.probability.is_(None), -1)]
    steps += [(taken.c.probability < edge, place) for place, edge in enumerate(SCORE_EDGES)]
    return case(*steps, else_=len(SCORE_EDGES)).label("score")


def model_at(connection: Connection, channel: Channel, moment: datetime) -> tuple[str, datetime] | None:
    """The first model of a channel from a moment on, and when it judged."""
    table = VerdictRecord
    taken = (
        select(table.channel, table.model, table.received_at)
        .where(table.received_at >= moment, WAS_SENT)
        .order_by(table.received_at)
        .limit(_LOOKED_AT)
        .subquery()
    )
    query = select(taken.c.model, taken.c.received_at).where(taken.c.channel == channel.value, taken.c.model != "")
    row = connection.execute(query.order_by(taken.c.received_at).limit(1)).one_or_none()
    return None if row is None else (row.model, row.received_at)


def labelled_since(connection: Connection, since: datetime, most: int) -> Sequence[LabelledVerdict]:
    """Labelled messages, through the labels: of these there are few."""
    query = (
        select(VerdictRecord, FeedbackRecord.label)
        .join(VerdictRecord, VerdictRecord.id == FeedbackRecord.message_id)
        .where(FeedbackRecord.revoked_at.is_(None), FeedbackRecord.given_at >= since)
        .where(VerdictRecord.received_at >= since, WAS_SENT)
        .order_by(FeedbackRecord.id.desc(), VerdictRecord.part)
        .limit(most)
    )
    found: dict[str, LabelledVerdict] = {}
    for row in connection.execute(query):
        found.setdefault(
            row.id,
            LabelledVerdict(
                message=MessageId(row.id),
                channel=Channel(row.channel),
                received_at=row.received_at,
                model=row.model,
                action=Action(row.action),
                probability=row.probability,
                label=Label(row.label),
                is_audit=row.is_audit,
            ),
        )
    return tuple(found.values())


def audits_waiting(connection: Connection, since: datetime) -> Mapping[Channel, int]:
    """Audited messages without a label, through their own index."""
    table = VerdictRecord
    query = (
        select(table.channel, func.count(table.id.distinct()))
        .where(table.is_audit, table.received_at >= since, table.id.not_in(_LABELLED))
        .group_by(table.channel)
    )
    return {Channel(channel): count for channel, count in connection.execute(query)}


def newest_labels(connection: Connection) -> Mapping[Channel, datetime]:
    """The latest label of each channel."""
    found = {}
    for channel in Channel:
        standing = (FeedbackRecord.revoked_at.is_(None), FeedbackRecord.channel == channel.value)
        newest = select(FeedbackRecord.given_at).where(*standing).order_by(FeedbackRecord.given_at.desc()).limit(1)
        moment = connection.scalar(newest)
        if moment is not None:
            found[channel] = moment
    return found


def unlabelled(connection: Connection, since: datetime, most: int) -> Unlabelled:
    """The latest messages without a label, and those of the audit; and what the latest labels are about."""
    table = VerdictRecord
    # Few columns: whole verdicts take a tenth of a second to read, on the event loop.
    columns = (table.probability, table.threshold, table.correction, table.fingerprint, table.is_audit)
    query: Select[*tuple[Any, ...]] = (
        select(table.id, table.received_at, *columns)
        .where(table.received_at >= since, table.outcome.in_(_REACHED), table.id.not_in(_LABELLED))
        .order_by(table.received_at.desc(), table.part)
        .limit(most)
    )
    found: dict[str, tuple[datetime, Candidate]] = {}
    for each in (query, query.where(table.is_audit)):
        for row in connection.execute(each):
            found.setdefault(row.id, (row.received_at, _candidate(row)))
    texts = (
        select(FeedbackRecord.fingerprint)
        .where(FeedbackRecord.revoked_at.is_(None), FeedbackRecord.fingerprint != "")
        .order_by(FeedbackRecord.id.desc())
        .limit(_KNOWN)
    )
    newest = sorted(found.values(), key=lambda dated: (dated[0], dated[1].message), reverse=True)
    candidates = tuple(candidate for _, candidate in newest)
    return Unlabelled(candidates=candidates, known=tuple(connection.scalars(texts)))


def _candidate(row: Row[Any]) -> Candidate:
    return Candidate(
        message=MessageId(row.id),
        probability=row.probability,
        threshold=row.threshold,
        correction=row.correction,
        fingerprint=row.fingerprint,
        is_audit=row.is_audit,
    )

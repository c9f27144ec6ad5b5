"""What the model read of messages, kept for labels, replay and the next model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from filterd.core.envelope import Channel, MessageId
from filterd.core.verdict import Action, Label, Scan, Verdict
from filterd.feedback_ports import KeptInput, LabelledInput, PastMessage
from filterd.store.schema import FeedbackRecord, ScannedRecord, VerdictRecord
from filterd.store.upsert import upsert


def rows_from(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """The rows of those messages whose input was kept."""
    found = {}
    for verdict in verdicts:
        scan = verdict.decision.scan
        if scan is not None and scan.tokens:
            found[verdict.id] = {
                "message_id": verdict.id,
                "channel": verdict.channel.value,
                "received_at": verdict.received_at,
                "hashing": scan.hashing,
                "tokens": scan.tokens,
            }
    return list(found.values())


def example_row(id: str, received_at: datetime, scan: Scan) -> dict[str, Any]:
    """The row of a mail that never passed."""
    return {
        "message_id": id,
        "channel": Channel.EMAIL.value,
        "received_at": received_at,
        "hashing": scan.hashing,
        "tokens": scan.tokens,
    }


def record(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Keep the inputs; a message whose input is there already keeps it."""
    if rows:
        statement = upsert(connection.dialect.name, ScannedRecord.__table__)
        connection.execute(statement.on_conflict_do_nothing(index_elements=["message_id"]), rows)


def kept(connection: Connection, id: str) -> KeptInput | None:
    """What the model read of a message."""
    query = select(ScannedRecord).where(ScannedRecord.message_id == id)
    row = connection.execute(query).one_or_none()
    return None if row is None else KeptInput(channel=Channel(row.channel), hashing=row.hashing, tokens=row.tokens)


def past(connection: Connection, channel: Channel, since: datetime, after: str, most: int) -> Sequence[PastMessage]:
    """Judged messages whose input is kept, by id."""
    scanned, verdict, label = ScannedRecord, VerdictRecord, FeedbackRecord
    ids = (
        select(scanned.message_id)
        .where(scanned.channel == channel.value, scanned.received_at >= since, scanned.message_id > after)
        # Examples that were imported have no verdict.
        .where(scanned.message_id.in_(select(verdict.id)))
        .order_by(scanned.message_id)
        .limit(most)
    )
    wanted = list(connection.scalars(ids))
    labels = {
        row.message_id: Label(row.label)
        for row in connection.execute(
            select(label.message_id, label.label)
            .where(label.message_id.in_(wanted), label.revoked_at.is_(None))
            .order_by(label.id)
        )
    }
    query = (
        select(
            verdict.id,
            verdict.received_at,
            verdict.sender,
            verdict.recipients,
            verdict.action,
            verdict.probability,
            scanned.hashing,
            scanned.tokens,
        )
        .join(verdict, verdict.id == scanned.message_id)
        .where(scanned.message_id.in_(wanted))
        .order_by(verdict.id, verdict.part)
    )
    found: dict[str, PastMessage] = {}
    for row in connection.execute(query):
        found.setdefault(
            row.id,
            PastMessage(
                id=MessageId(row.id),
                received_at=row.received_at,
                sender=row.sender,
                recipients=tuple(row.recipients),
                action=Action(row.action),
                probability=row.probability,
                label=labels.get(row.id),
                hashing=row.hashing,
                tokens=row.tokens,
            ),
        )
    return tuple(found.values())


def background(connection: Connection, channel: Channel, most: int) -> Sequence[bytes]:
    """Inputs of the latest messages without a label, the newest first."""
    labelled = select(FeedbackRecord.message_id)
    query = (
        select(ScannedRecord.tokens)
        .where(ScannedRecord.channel == channel.value, ScannedRecord.message_id.not_in(labelled))
        .order_by(ScannedRecord.message_id.desc())
        .limit(most)
    )
    return tuple(connection.scalars(query))


def labelled(
    connection: Connection, channel: Channel, model: str | None, after: int, most: int
) -> Sequence[LabelledInput]:
    """Standing labels on messages whose input is kept, beyond number ``after``, in their order."""
    query = (
        select(FeedbackRecord.__table__, ScannedRecord.tokens, ScannedRecord.hashing, VerdictRecord.logit)
        .join(ScannedRecord, ScannedRecord.message_id == FeedbackRecord.message_id)
        .join(VerdictRecord, VerdictRecord.id == FeedbackRecord.message_id, isouter=True)
        .where(FeedbackRecord.revoked_at.is_(None), FeedbackRecord.id > after)
        .where(FeedbackRecord.channel == channel.value)
        .order_by(FeedbackRecord.id, VerdictRecord.part)
    )
    if model is not None:
        query = query.where(FeedbackRecord.model == model)
    found: dict[int, LabelledInput] = {}
    for row in connection.execute(query.limit(most)):
        found.setdefault(
            row.id,
            LabelledInput(
                id=row.id,
                message=MessageId(row.message_id),
                channel=channel,
                label=Label(row.label),
                reporter=row.reporter,
                given_at=row.given_at,
                sender=row.sender_key,
                recipients=tuple(row.recipients),
                fingerprint=row.fingerprint,
                is_for_all=row.is_for_all,
                model=row.model,
                logit=row.logit,
                hashing=row.hashing,
                tokens=row.tokens,
            ),
        )
    return tuple(found.values())

"""What messages of the recent past were given, and what people made of them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from filterd.core.threshold_preview import Judged
from filterd.core.verdict import Label
from filterd.ports import HeldState
from filterd.review_ports import VerdictQuery
from filterd.store import history
from filterd.store.schema import FeedbackRecord, HeldRecord, VerdictRecord

_AT_ONCE = 1_000


def judged(connection: Connection, query: VerdictQuery) -> Sequence[Judged]:
    """One for each message that fits, the newest first. Labels and releases are few: they are read as a whole."""
    ids = sorted({id for id, _ in history.keys(connection, query)}, reverse=True)
    probabilities: dict[str, float] = {}
    for start in range(0, len(ids), _AT_ONCE):
        rows = connection.execute(
            select(VerdictRecord.id, VerdictRecord.probability).where(
                VerdictRecord.id.in_(ids[start : start + _AT_ONCE])
            )
        )
        probabilities.update((row.id, row.probability) for row in rows)
    labels = _labels(connection, query)
    released = _released(connection, query)
    return tuple(
        Judged(probability=probabilities[id], label=labels.get(id), was_released=id in released)
        for id in ids
        if probabilities.get(id) is not None
    )


def _labels(connection: Connection, query: VerdictQuery) -> dict[str, Label]:
    """The latest standing label of each message; a label is younger than its message."""
    statement = select(FeedbackRecord.message_id, FeedbackRecord.label).where(FeedbackRecord.revoked_at.is_(None))
    if query.since is not None:
        statement = statement.where(FeedbackRecord.given_at >= query.since)
    return {row.message_id: Label(row.label) for row in connection.execute(statement.order_by(FeedbackRecord.id))}


def _released(connection: Connection, query: VerdictQuery) -> set[str]:
    statement = select(HeldRecord.message_id).where(HeldRecord.state == HeldState.RELEASED.value)
    if query.since is not None:
        statement = statement.where(HeldRecord.received_at >= query.since)
    return set(connection.scalars(statement))

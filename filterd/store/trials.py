"""What candidates on trial would have done otherwise, and how the bundles fared with people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import Connection, and_, func, or_, select

from filterd.core.alarm import Record
from filterd.core.envelope import Channel, MessageId
from filterd.core.verdict import Action, Label, OutcomeKind
from filterd.model_ports import Disagreement
from filterd.store.schema import DisagreementRecord, FeedbackRecord, VerdictRecord
from filterd.store.tallies import WAS_SENT
from filterd.store.upsert import upsert


def record(connection: Connection, found: Disagreement) -> None:
    """Once per message and candidate."""
    row = asdict(found) | {"channel": found.channel.value}
    row["message_id"] = row.pop("message")
    statement = upsert(connection.dialect.name, DisagreementRecord.__table__)
    connection.execute(statement.on_conflict_do_nothing(index_elements=["message_id", "candidate"]), [row])


def listed(connection: Connection, channel: Channel, candidate: str, limit: int) -> Sequence[Disagreement]:
    """The latest first: ids sort by time."""
    table = DisagreementRecord
    meant = (table.channel == channel.value, table.candidate == candidate)
    rows = connection.execute(select(table).where(*meant).order_by(table.message_id.desc()).limit(limit)).all()
    return tuple(
        Disagreement(
            message=MessageId(row.message_id),
            channel=channel,
            candidate=row.candidate,
            candidate_probability=row.candidate_probability,
            incumbent=row.incumbent,
            incumbent_probability=row.incumbent_probability,
            seen_at=row.seen_at,
        )
        for row in rows
    )


def fared(connection: Connection, channel: Channel, since: datetime) -> dict[str, Record]:
    """By bundle, what people said of its verdicts since a moment: messages held, and of those how many were ham."""
    verdict, label = VerdictRecord, FeedbackRecord
    said = and_(label.message_id == verdict.id, label.revoked_at.is_(None))
    # Whoever only asked was told to keep it from its recipients.
    told = (Action.QUARANTINE.value, Action.REJECT.value)
    is_held = or_(
        verdict.outcome == OutcomeKind.HELD.value,
        and_(verdict.outcome == OutcomeKind.ADVISED.value, verdict.action.in_(told)),
    )
    query = (
        select(
            verdict.model,
            func.count(func.distinct(verdict.id)).filter(is_held).label("held"),
            func.count(func.distinct(verdict.id)).filter(is_held, label.label == Label.HAM.value).label("wrongly"),
            func.count(func.distinct(verdict.id)).filter(~is_held).label("passed"),
            func.count(func.distinct(verdict.id)).filter(~is_held, label.label == Label.SPAM.value).label("missed"),
        )
        .join(label, said, isouter=True)
        .where(verdict.channel == channel.value, verdict.received_at >= since, verdict.model != "", WAS_SENT)
        .group_by(verdict.model)
    )
    return {
        row.model: Record(held=row.held, wrongly_held=row.wrongly, passed=row.passed, missed=row.missed)
        for row in connection.execute(query)
    }

"""Verdicts, and people's labels on them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, or_, select

from filterd.core.envelope import Channel, MessageId, domain_of
from filterd.core.verdict import Action, Evidence, Reason, Verdict
from filterd.errors import NotFound
from filterd.ports import VerdictRow
from filterd.store import recipients
from filterd.store.schema import (
    HeldRecord,
    HeldRetryRecord,
    VerdictRecord,
    lookup_key,
    only_key,
)
from filterd.store.upsert import upsert

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

_KEY = ("id", "part")


def part_of(recipients: Sequence[str]) -> str:
    """What tells the rows of one message apart: 16 hex digits for this group of recipients."""
    joined = "\n".join(recipients).encode("utf-8", "surrogatepass")
    return hashlib.sha256(joined).hexdigest()[:16]


def row_from(verdict: Verdict) -> dict[str, Any]:
    """The columns of ``verdict``."""
    decision, scan = verdict.decision, verdict.decision.scan
    only = only_key(verdict.recipients)
    return {
        "id": verdict.id,
        "part": part_of(verdict.recipients),
        "channel": verdict.channel.value,
        "received_at": verdict.received_at,
        "sender": verdict.sender,
        "sender_key": lookup_key(verdict.sender),
        "recipients": list(verdict.recipients),
        "recipient_key": only,
        "recipient_domain": domain_of(only),
        "peer": verdict.peer,
        "size_bytes": verdict.size_bytes,
        "action": decision.action.value,
        "reason": decision.reason.value,
        "detail": decision.detail,
        "outcome": verdict.outcome.kind.value,
        "reply_code": verdict.outcome.reply.code,
        "is_ambiguous": verdict.outcome.ambiguous,
        "probability": scan.probability if scan else None,
        "logit": scan.logit if scan else None,
        "correction": scan.correction if scan else 0.0,
        "threshold": decision.threshold,
        "model": scan.model if scan else "",
        "fingerprint": scan.fingerprint if scan else "",
        "elapsed_seconds": verdict.elapsed_seconds,
        "policy": verdict.policy,
        "reports": list(decision.reports),
        "evidence": [[found.token, round(found.weight, 5)] for found in scan.evidence] if scan else [],
        "signals": list(scan.signals) if scan else [],
        "script": scan.script.value if scan else "",
        "is_audit": verdict.is_audit,
    }


def verdict_from(row: Row[Any]) -> VerdictRow:
    """The verdict in ``row``."""
    return VerdictRow(
        id=MessageId(row.id),
        channel=Channel(row.channel),
        received_at=row.received_at,
        sender=row.sender,
        recipients=tuple(row.recipients),
        peer=row.peer,
        size_bytes=row.size_bytes,
        action=Action(row.action),
        reason=Reason(row.reason),
        detail=row.detail,
        outcome=row.outcome,
        reply_code=row.reply_code,
        probability=row.probability,
        logit=row.logit,
        correction=row.correction,
        threshold=row.threshold,
        model=row.model,
        fingerprint=row.fingerprint,
        elapsed_seconds=row.elapsed_seconds,
        policy=row.policy,
        reports=tuple(row.reports),
        evidence=tuple(Evidence(token=token, weight=weight) for token, weight in row.evidence),
        signals=tuple(row.signals),
        script=row.script,
        is_audit=row.is_audit,
    )


def record(connection: Connection, rows: list[dict[str, Any]]) -> None:
    """Insert the verdicts, or replace those of messages that have one for these recipients."""
    connection.execute(_upsert_verdict(connection.dialect.name), rows)
    recipients.note_verdicts(connection, rows)


@cache
def _upsert_verdict(dialect: str) -> sqlite.Insert | postgresql.Insert:
    # Built once: it takes longer to put together than to carry out.
    table = VerdictRecord.__table__
    statement = upsert(dialect, table)
    replaced = {c.name: statement.excluded[c.name] for c in table.c if c.name not in _KEY}
    return statement.on_conflict_do_update(index_elements=_KEY, set_=replaced)


def fetch(connection: Connection, id: MessageId) -> tuple[VerdictRow, ...]:
    """Every verdict on the message. Raises NotFound."""
    message = message_of(connection, id)
    rows = connection.execute(
        select(VerdictRecord).where(VerdictRecord.id == message).order_by(VerdictRecord.part)
    ).all()
    if not rows:
        raise NotFound(f"no verdict {id}")
    return tuple(verdict_from(row) for row in rows)


def latest(connection: Connection, limit: int, channel: Channel | None) -> tuple[VerdictRow, ...]:
    """The newest verdicts: ids sort by time."""
    query = select(VerdictRecord).order_by(VerdictRecord.id.desc(), VerdictRecord.part).limit(limit)
    if channel is not None:
        query = query.where(VerdictRecord.channel == channel.value)
    return tuple(verdict_from(row) for row in connection.execute(query).all())


def message_of(connection: Connection, id: str) -> str:
    """The id of the message ``id`` stands for: a second held part has an id of its own. Raises NotFound."""
    if connection.scalar(select(VerdictRecord.id).where(VerdictRecord.id == id).limit(1)) is not None:
        return id
    retried = select(HeldRetryRecord.held_id).where(HeldRetryRecord.message_id == id)
    held = select(HeldRecord.message_id).where(or_(HeldRecord.id == id, HeldRecord.id.in_(retried))).limit(1)
    message: str | None = connection.scalar(held)
    if message is None:
        raise NotFound(f"no message {id}")
    return message

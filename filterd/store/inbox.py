"""SMS as webhooks delivered them: an inbox until they are judged, an outbox until they are forwarded.

Custody is ours from the commit on: the provider heard 2xx. Every state but ``done`` has a time at which the next step
is due, so that whatever a crash interrupts is taken up by the next claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, text, update

from filterd.core.envelope import MessageId
from filterd.errors import NotFound
from filterd.ports import Arrival, SmsMessage, SmsPart
from filterd.store.schema import SmsMessageRecord, SmsPartRecord, id_key, lookup_key

JUDGE_SECONDS = 60.0
"""How long the webhook that completed a message has to judge it before somebody else does."""
_REASSEMBLY_LOCK = 0x66696C7465726402
"""PostgreSQL advisory lock: two parts of one message that arrive at once must not start two messages."""


class SmsState(StrEnum):
    """The next step of a message."""

    PARTIAL = "partial"
    JUDGE = "judge"
    FORWARD = "forward"
    DONE = "done"


def receive(
    connection: Connection, part: SmsPart, id: MessageId, now: datetime, reassembly_seconds: float
) -> tuple[Arrival, SmsMessage | None]:
    """Store the part; see ``ports.SmsInbox.receive``."""
    known = connection.scalar(
        select(SmsPartRecord.message_id).where(
            SmsPartRecord.provider == part.provider, SmsPartRecord.provider_id == id_key(part.provider_id)
        )
    )
    if known is not None:
        state = connection.scalar(select(SmsMessageRecord.state).where(SmsMessageRecord.id == known))
        return Arrival.DUPLICATE, fetch(connection, known) if state == SmsState.JUDGE else None
    if part.parts <= 1:
        _begin(connection, part, id, SmsState.JUDGE, now + timedelta(seconds=JUDGE_SECONDS))
        _add(connection, part, id)
        return Arrival.COMPLETE, SmsMessage(id=id, parts=(part,))
    return _reassemble(connection, part, id, now, reassembly_seconds)


def _reassemble(
    connection: Connection, part: SmsPart, id: MessageId, now: datetime, reassembly_seconds: float
) -> tuple[Arrival, SmsMessage | None]:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _REASSEMBLY_LOCK})
    message = _open_message(connection, part)
    if message is None:
        _begin(connection, part, id, SmsState.PARTIAL, now + timedelta(seconds=reassembly_seconds))
        message = id
    _add(connection, part, message)
    count = select(func.count()).select_from(SmsPartRecord).where(SmsPartRecord.message_id == message)
    if (connection.scalar(count) or 0) < part.parts:
        return Arrival.PARTIAL, None
    connection.execute(
        update(SmsMessageRecord)
        .where(SmsMessageRecord.id == message)
        .values(state=SmsState.JUDGE.value, due_at=now + timedelta(seconds=JUDGE_SECONDS))
    )
    return Arrival.COMPLETE, fetch(connection, message)


def _open_message(connection: Connection, part: SmsPart) -> MessageId | None:
    """The unfinished message this part belongs to: references are reused, so one that has the part is another."""
    has_part = select(SmsPartRecord.message_id).where(
        SmsPartRecord.message_id == SmsMessageRecord.id, SmsPartRecord.part == part.part
    )
    found: str | None = connection.scalar(
        select(SmsMessageRecord.id)
        .where(
            SmsMessageRecord.provider == part.provider,
            SmsMessageRecord.sender_key == lookup_key(part.sender),
            SmsMessageRecord.recipient_key == lookup_key(part.recipient),
            SmsMessageRecord.reference == id_key(part.reference),
            SmsMessageRecord.parts == part.parts,
            SmsMessageRecord.state == SmsState.PARTIAL.value,
            ~has_part.exists(),
        )
        .order_by(SmsMessageRecord.id)
        .limit(1)
    )
    return None if found is None else MessageId(found)


def _begin(connection: Connection, part: SmsPart, id: MessageId, state: SmsState, due_at: datetime) -> None:
    connection.execute(
        insert(SmsMessageRecord).values(
            id=id,
            provider=part.provider,
            sender_key=lookup_key(part.sender),
            recipient_key=lookup_key(part.recipient),
            reference=id_key(part.reference),
            parts=max(part.parts, 1),
            state=state.value,
            due_at=due_at,
            attempts=0,
            received_at=part.received_at,
        )
    )


def _add(connection: Connection, part: SmsPart, message: str) -> None:
    content = {
        "provider_id": part.provider_id,
        "sender": part.sender,
        "recipient": part.recipient,
        "text": part.text,
        "content_type": part.content_type,
        "headers": [list(pair) for pair in part.headers],
        "query": part.query,
        "reference": part.reference,
    }
    connection.execute(
        insert(SmsPartRecord).values(
            provider=part.provider,
            provider_id=id_key(part.provider_id),
            message_id=message,
            part=part.part,
            parts=part.parts,
            received_at=part.received_at,
            content=content,
            payload=part.payload,
        )
    )


def part_from(row: Row[Any]) -> SmsPart:
    """The delivery in ``row``."""
    content = row.content
    return SmsPart(
        provider=row.provider,
        provider_id=content["provider_id"],
        sender=content["sender"],
        recipient=content["recipient"],
        text=content["text"],
        received_at=row.received_at,
        payload=row.payload,
        content_type=content["content_type"],
        headers=tuple((name, value) for name, value in content["headers"]),
        query=content["query"],
        reference=content["reference"],
        part=row.part,
        parts=row.parts,
    )


def fetch(connection: Connection, id: str) -> SmsMessage:
    """The message with the parts that have come, in their order."""
    rows = connection.execute(
        select(SmsPartRecord)
        .where(SmsPartRecord.message_id == id)
        .order_by(SmsPartRecord.part, SmsPartRecord.provider_id)
    )
    return SmsMessage(id=MessageId(id), parts=tuple(part_from(row) for row in rows))


def claim(
    connection: Connection, *, limit: int, lease_seconds: float, now: datetime
) -> Sequence[tuple[SmsMessage, bool]]:
    """Lease what is due; see ``ports.SmsInbox.claim_work``."""
    due = connection.execute(
        select(SmsMessageRecord.id, SmsMessageRecord.state)
        .where(SmsMessageRecord.state != SmsState.DONE.value, SmsMessageRecord.due_at <= now)
        .order_by(SmsMessageRecord.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    until = now + timedelta(seconds=lease_seconds)
    work = []
    for id, state in due:
        # What has come of a long message by now is all of it.
        next_state = SmsState.JUDGE.value if state == SmsState.PARTIAL else state
        connection.execute(
            update(SmsMessageRecord).where(SmsMessageRecord.id == id).values(state=next_state, due_at=until)
        )
        work.append((fetch(connection, id), state == SmsState.FORWARD))
    return tuple(work)


def advance(connection: Connection, id: MessageId, state: SmsState, due_at: datetime) -> None:
    """Set the next step and when it is due. Raises NotFound."""
    _update(connection, id, state=state.value, due_at=due_at)


def postpone(connection: Connection, id: MessageId, due_at: datetime) -> None:
    """Try the same step again later. Raises NotFound."""
    _update(connection, id, attempts=SmsMessageRecord.attempts + 1, due_at=due_at)


def _update(connection: Connection, id: MessageId, **values: Any) -> None:
    changed = connection.execute(update(SmsMessageRecord).where(SmsMessageRecord.id == id).values(**values))
    if changed.rowcount == 0:
        raise NotFound(f"no SMS {id}")

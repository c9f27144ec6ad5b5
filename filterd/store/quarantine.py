"""Held messages: a body, its envelope, and where it is in its life.

A message leaves only by a confirmed release, by a person's deletion (which leaves an audit row) or by the declared
retention. ``retry_key`` is unique while the message is in custody: a sender's retry finds its earlier attempt. Each
attempt has its own id, and two of them may be under way at once, so one that fails must not undo one that was
acknowledged: ``held`` is sticky, ``aborted`` keeps the body until it is reaped and can become ``held`` again.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.errors import HeaderParseError
from email.header import decode_header
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, Row, case, delete, func, insert, or_, select, update
from sqlalchemy.sql.dml import ReturningInsert

from filterd.core.envelope import Channel, Envelope, MessageId, Peer, Recipient
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reason
from filterd.errors import NotFound, StoreUnavailable, UsageError
from filterd.ports import HeldMessage, HeldState, HeldSummary
from filterd.replies import HELD
from filterd.store import verdicts
from filterd.store.schema import AuditRecord, HeldRecord, HeldRetryRecord, lookup_key, only_key, plain

ACK_UNKNOWN = "ack-unknown"
"""Detail of a message whose process died before its sender was answered: the sender may have it too."""
SUBJECT_CHARS = 200
_SUBJECT_BYTES = 1_024
_HEADER_BYTES = 65_536
_COMPRESSION = 1
"""zlib level: the next levels save a few percent and cost twice the time."""
_SUBJECT = re.compile(rb"(?im)^subject[ \t]*:([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)")
_VISIBLE = (HeldState.HELD.value, HeldState.RELEASING.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHeld:
    """The rows of a message to hold."""

    held: dict[str, Any]
    verdict: dict[str, Any]


def prepare(envelope: Envelope, raw: bytes, decision: Decision, *, pending: bool, now: datetime) -> NewHeld:
    """Everything about a message that costs processor time; for a large one, call it in a thread."""
    addresses = tuple(r.address for r in envelope.recipients)
    subject = subject_of(raw) if envelope.channel is Channel.EMAIL else ""
    held = {
        "id": envelope.id,
        "message_id": envelope.id,
        "retry_key": retry_key(envelope, raw),
        "channel": envelope.channel.value,
        "state": (HeldState.PENDING if pending else HeldState.HELD).value,
        "state_at": now,
        "received_at": envelope.received_at,
        "sender": envelope.sender,
        "sender_key": lookup_key(envelope.sender),
        "recipients": list(addresses),
        "recipient_key": only_key(addresses),
        "subject": subject,
        "search": "\n".join((envelope.sender, *addresses, subject)).lower(),
        "size_bytes": len(raw),
        "action": decision.action.value,
        "reason": decision.reason.value,
        "detail": decision.detail,
        "probability": decision.scan.probability if decision.scan else None,
        "model": decision.scan.model if decision.scan else "",
        "envelope": tree_from(envelope),
        "claimed_by": "",
        "body": zlib.compress(raw, _COMPRESSION),
    }
    outcome = Outcome(kind=OutcomeKind.HELD, reply=HELD)
    verdict = verdicts.held_verdict(envelope, len(raw), decision, outcome)
    return NewHeld(held=held, verdict=verdicts.row_from(verdict))


def retry_key(envelope: Envelope, raw: bytes) -> str:
    """The same for a sender's retry within a day. An SMS provider repeats its own id instead of the content."""
    digest = hashlib.sha256()
    addresses = (envelope.sender, *(r.address for r in envelope.recipients))
    parts = (envelope.id,) if envelope.channel is Channel.SMS else (*addresses, f"{envelope.received_at:%Y%m%d}")
    for part in (envelope.channel.value, *parts):
        octets = part.encode("utf-8", "surrogatepass")
        digest.update(len(octets).to_bytes(8, "big") + octets)
    if envelope.channel is not Channel.SMS:
        digest.update(raw)
    return digest.hexdigest()


def subject_of(raw: bytes) -> str:
    """The first 200 printable characters of the subject, encoded words decoded (RFC 2047) as far as they can be.

    Reads 64 KiB for the header and 1 KiB of it: hostile input costs no more than that.
    """
    end = re.search(rb"\r?\n\r?\n", raw[:_HEADER_BYTES])
    found = _SUBJECT.search(raw[: end.start() if end else _HEADER_BYTES])
    if found is None:
        return ""
    text = found.group(1)[:_SUBJECT_BYTES].decode("utf-8", "replace")
    unfolded = " ".join(text.split())
    return "".join(c if c.isprintable() else " " for c in _decoded(unfolded))[:SUBJECT_CHARS].strip()


def _decoded(text: str) -> str:
    try:
        pieces = decode_header(text)
        return "".join(p if isinstance(p, str) else p.decode(charset or "latin-1", "replace") for p, charset in pieces)
    except (HeaderParseError, LookupError, ValueError):
        return text


def tree_from(envelope: Envelope) -> dict[str, Any]:
    """The envelope as a tree of plain values."""
    peer = envelope.peer
    return {
        "id": envelope.id,
        "channel": envelope.channel.value,
        "sender": envelope.sender,
        "recipients": [[r.address, list(r.parameters)] for r in envelope.recipients],
        "received_at": envelope.received_at.isoformat(),
        "peer": [peer.address, peer.port, peer.name, peer.helo, peer.protocol, peer.login],
        "parameters": list(envelope.parameters),
    }


def envelope_from(tree: dict[str, Any]) -> Envelope:
    """The envelope in ``tree``."""
    address, port, name, helo, protocol, login = tree["peer"]
    return Envelope(
        id=MessageId(tree["id"]),
        channel=Channel(tree["channel"]),
        sender=tree["sender"],
        recipients=tuple(Recipient(address=a, parameters=tuple(p)) for a, p in tree["recipients"]),
        received_at=datetime.fromisoformat(tree["received_at"]),
        peer=Peer(address=address, port=port, name=name, helo=helo, protocol=protocol, login=login),
        parameters=tuple(tree["parameters"]),
    )


def summary_from(row: Row[Any]) -> HeldSummary:
    """The list entry in ``row``."""
    return HeldSummary(
        id=MessageId(row.id),
        channel=Channel(row.channel),
        state=HeldState(row.state),
        received_at=row.received_at,
        sender=row.sender,
        recipients=tuple(row.recipients),
        subject=row.subject,
        size_bytes=row.size_bytes,
        action=Action(row.action),
        reason=Reason(row.reason),
        detail=row.detail,
        probability=row.probability,
        model=row.model,
    )


def message_from(row: Row[Any]) -> HeldMessage:
    """The whole held message in ``row``. Raises NotFound when its body is gone."""
    if row.body is None:
        raise NotFound(f"message {row.id} was deleted")
    # The size was written by us: what comes out is never larger than what went in.
    inflated = zlib.decompressobj()
    raw = inflated.decompress(row.body, row.size_bytes or 1)
    if len(raw) != row.size_bytes:
        raise StoreUnavailable(f"the stored body of {row.id} is damaged")
    return HeldMessage(summary=summary_from(row), envelope=envelope_from(row.envelope), raw=raw)


def hold(connection: Connection, new: NewHeld) -> None:
    """Insert body and verdict, or find the sender's earlier attempt."""
    message = new.held["message_id"]
    others = connection.scalar(select(func.count()).select_from(HeldRecord).where(HeldRecord.message_id == message))
    values = new.held | {"id": numbered(message, others or 0)}
    row = connection.execute(_insert_or_find(connection.dialect.name), values).one()
    if row.message_id != message:
        connection.execute(_note_retry(connection.dialect.name), {"message_id": message, "held_id": row.id})
    verdicts.record(connection, [new.verdict])


@cache
def _insert_or_find(dialect: str) -> ReturningInsert[str, str]:
    statement = verdicts.upsert(dialect, HeldRecord.__table__)
    state, new_state = HeldRecord.state, statement.excluded.state
    changed = case((state.in_((HeldState.PENDING.value, HeldState.ABORTED.value)), new_state), else_=state)
    return statement.on_conflict_do_update(
        index_elements=[HeldRecord.retry_key],
        set_={"state": changed, "state_at": statement.excluded.state_at},
    ).returning(HeldRecord.id, HeldRecord.message_id)


@cache
def _note_retry(dialect: str) -> Insert:
    return verdicts.upsert(dialect, HeldRetryRecord.__table__).on_conflict_do_nothing()


def numbered(id: str, part: int) -> str:
    """The id of a message's held part, counted from 0: it sorts beside the message's own."""
    return f"{int(id, 16) ^ part:032x}"


def settle(connection: Connection, id: MessageId, state: HeldState, now: datetime) -> None:
    """Turn every pending part of the message into ``state``; held wins over aborted."""
    before = [HeldState.PENDING.value]
    if state is HeldState.HELD:
        before.append(HeldState.ABORTED.value)
    retried = select(HeldRetryRecord.held_id).where(HeldRetryRecord.message_id == id)
    connection.execute(
        update(HeldRecord)
        .where(or_(HeldRecord.message_id == id, HeldRecord.id.in_(retried)), HeldRecord.state.in_(before))
        .values(state=state.value, state_at=now)
    )


def listed(
    connection: Connection, *, limit: int, before: MessageId | None, channel: Channel | None, query: str
) -> Sequence[HeldSummary]:
    """Messages in the quarantine, newest first, without their bodies."""
    columns = [c for c in HeldRecord.__table__.c if c.name not in ("body", "envelope")]
    statement = select(*columns).where(HeldRecord.state.in_(_VISIBLE)).order_by(HeldRecord.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(HeldRecord.id < before)
    if channel is not None:
        statement = statement.where(HeldRecord.channel == channel.value)
    if query:
        statement = statement.where(HeldRecord.search.contains(plain(query).lower(), autoescape=True))
    return tuple(summary_from(row) for row in connection.execute(statement))


def find(connection: Connection, id: MessageId) -> Row[Any]:
    """The row of a message that the sender was told is held, or may believe so. Raises NotFound."""
    retried = select(HeldRetryRecord.held_id).where(HeldRetryRecord.message_id == id)
    row = connection.execute(
        select(HeldRecord).where(
            or_(HeldRecord.id == id, HeldRecord.id.in_(retried)), HeldRecord.state != HeldState.ABORTED.value
        )
    ).first()
    if row is None:
        raise NotFound(f"no held message {id}")
    return row


def claim(connection: Connection, id: MessageId, by: str, lease_seconds: float, now: datetime) -> Row[Any]:
    """Lease the message for one release. Raises NotFound or UsageError."""
    row = find(connection, id)
    until = now + timedelta(seconds=lease_seconds)
    taken = connection.execute(
        update(HeldRecord)
        .where(HeldRecord.id == row.id, _is_free(now))
        .values(state=HeldState.RELEASING.value, state_at=now, claimed_by=by, lease_until=until)
    )
    if taken.rowcount == 0:
        raise UsageError(f"message {row.id} is {find(connection, id).state}, not held")
    return find(connection, id)


def _is_free(now: datetime) -> ColumnElement[bool]:
    releasing = HeldRecord.state == HeldState.RELEASING.value
    return or_(HeldRecord.state == HeldState.HELD.value, releasing & (HeldRecord.lease_until < now))


def finish(connection: Connection, id: MessageId, by: str, now: datetime, *, delivered: bool) -> None:
    """End a release. A delivery counts even when the lease has run out meanwhile. Raises NotFound or UsageError."""
    row = find(connection, id)
    releasing = HeldRecord.state == HeldState.RELEASING.value
    if delivered:
        change: dict[str, Any] = {"state": HeldState.RELEASED.value, "retry_key": None}
        allowed = or_(releasing, HeldRecord.state == HeldState.HELD.value)
    else:
        change = {"state": HeldState.HELD.value}
        allowed = releasing & (HeldRecord.claimed_by == by)
    change |= {"state_at": now, "claimed_by": "", "lease_until": None}
    ended = connection.execute(update(HeldRecord).where(HeldRecord.id == row.id, allowed).values(**change))
    if ended.rowcount == 0:
        raise UsageError(f"message {row.id} is {row.state}, not being released")
    if delivered:
        audit(connection, now, by, "released", row.id)


def remove(connection: Connection, id: MessageId, by: str, now: datetime) -> None:
    """Drop the body and what names people. Raises NotFound, or UsageError while it is being released or gone."""
    row = find(connection, id)
    gone = connection.execute(
        update(HeldRecord)
        .where(HeldRecord.id == row.id, or_(_is_free(now), HeldRecord.state == HeldState.PENDING.value))
        .values(state=HeldState.DELETED.value, state_at=now, retry_key=None, body=None, lease_until=None)
    )
    if gone.rowcount == 0:
        raise UsageError(f"message {row.id} is {row.state} and cannot be deleted")
    audit(connection, now, by, "deleted", row.id)


def reap(connection: Connection, now: datetime, pending_seconds: float) -> int:
    """Pending messages nobody settled become held, ended leases too, aborted ones go. How many rows changed."""
    old = now - timedelta(seconds=pending_seconds)
    freed = {"state": HeldState.HELD.value, "state_at": now, "claimed_by": "", "lease_until": None}
    unanswered = connection.execute(
        update(HeldRecord)
        .where(HeldRecord.state == HeldState.PENDING.value, HeldRecord.state_at < old)
        .values(state=HeldState.HELD.value, state_at=now, detail=ACK_UNKNOWN)
    )
    unfinished = connection.execute(
        update(HeldRecord)
        .where(HeldRecord.state == HeldState.RELEASING.value, HeldRecord.lease_until < now)
        .values(**freed)
    )
    aborted = connection.execute(
        delete(HeldRecord).where(HeldRecord.state == HeldState.ABORTED.value, HeldRecord.state_at < old)
    )
    return unanswered.rowcount + unfinished.rowcount + aborted.rowcount


def audit(connection: Connection, now: datetime, by: str, event: str, target: str, note: str = "") -> None:
    """Write down who did what."""
    connection.execute(insert(AuditRecord).values(at=now, by=by, event=event, target=target, note=note))

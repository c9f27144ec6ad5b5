"""Held messages: a body, its envelope, and where it is in its life.

A message leaves only by a confirmed release, by a person's deletion (which leaves an audit row) or by the declared
retention. ``retry_key`` is unique while the message is in custody: a sender's retry finds its earlier attempt. Each
attempt has its own id, and two of them may be under way at once, so one that fails must not undo one that was
acknowledged: ``held`` is sticky, ``aborted`` keeps the body until it is reaped and can become ``held`` again.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, delete, insert, or_, select, update
from sqlalchemy.sql.dml import ReturningInsert

from filterd.core.access import EVERYBODY, Reach
from filterd.core.envelope import MessageId
from filterd.errors import NotFound, UsageError
from filterd.ports import HeldState
from filterd.store import recipients, verdicts
from filterd.store.held_rows import NewHeld
from filterd.store.schema import AuditRecord, HeldRecord, HeldRetryRecord
from filterd.store.split import next_id, split_off
from filterd.store.upsert import insert_missing, upsert

ACK_UNKNOWN = "ack-unknown"
"""Detail of a message whose process died before its sender was answered: the sender may have it too."""


def hold(connection: Connection, new: NewHeld) -> None:
    """Insert body and verdict, or find the sender's earlier attempt."""
    message = new.held["message_id"]
    values = new.held | {"id": next_id(connection, message)}
    row = connection.execute(_insert_or_find(connection.dialect.name), values).one()
    if row.id == values["id"]:
        recipients.note_held(connection, row.id, values["recipients"])
    if row.message_id != message:
        retry = {"message_id": message, "held_id": row.id}
        connection.execute(insert_missing(connection.dialect.name, HeldRetryRecord.__table__), retry)
    verdicts.record(connection, [new.verdict])


@cache
def _insert_or_find(dialect: str) -> ReturningInsert[str, str]:
    statement = upsert(dialect, HeldRecord.__table__)
    state, new_state = HeldRecord.state, statement.excluded.state
    changed = case((state.in_((HeldState.PENDING.value, HeldState.ABORTED.value)), new_state), else_=state)
    return statement.on_conflict_do_update(
        index_elements=[HeldRecord.retry_key],
        set_={"state": changed, "state_at": statement.excluded.state_at},
    ).returning(HeldRecord.id, HeldRecord.message_id)


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


def find(connection: Connection, id: MessageId, reach: Reach = EVERYBODY) -> Row[Any]:
    """The row of a message that the sender was told is held, or may believe so. Raises NotFound.

    It is for somebody within ``reach``, and may be for others too. Of a message in several parts, any such part.
    """
    retried = select(HeldRetryRecord.held_id).where(HeldRetryRecord.message_id == id)
    is_it = or_(HeldRecord.id == id, HeldRecord.id.in_(retried))
    row = _first_within(connection, is_it, reach)
    if row is None and not reach.is_everybody:
        parts = HeldRecord.message_id.in_(select(HeldRecord.message_id).where(is_it))
        row = _first_within(connection, parts, reach)
    if row is None:
        raise NotFound(f"no held message {id}")
    return row


def _first_within(connection: Connection, which: ColumnElement[bool], reach: Reach) -> Row[Any] | None:
    rows = connection.execute(select(HeldRecord).where(which, HeldRecord.state != HeldState.ABORTED.value))
    return next((row for row in rows.all() if reach.is_everybody or reach.part_of(row.recipients)), None)


def claim(
    connection: Connection, id: MessageId, by: str, lease_seconds: float, now: datetime, reach: Reach = EVERYBODY
) -> Row[Any]:
    """Lease the message, or the part of it within ``reach``, for one release. Raises NotFound or UsageError."""
    own = MessageId(split_off(connection, find(connection, id, reach), reach))
    until = now + timedelta(seconds=lease_seconds)
    taken = connection.execute(
        update(HeldRecord)
        .where(HeldRecord.id == own, _is_free(now))
        .values(state=HeldState.RELEASING.value, state_at=now, claimed_by=by, lease_until=until)
    )
    if taken.rowcount == 0:
        raise UsageError(f"message {own} is {find(connection, own).state}, not held")
    return find(connection, own)


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


def remove(connection: Connection, id: MessageId, by: str, now: datetime, reach: Reach = EVERYBODY) -> None:
    """Delete the message, or the part of it within ``reach``; its body goes later (``retention``).

    Raises NotFound, or UsageError while it is being released or gone.
    """
    is_here = or_(_is_free(now), HeldRecord.state == HeldState.PENDING.value)
    own = MessageId(split_off(connection, find(connection, id, reach), reach))
    gone = connection.execute(
        update(HeldRecord)
        .where(HeldRecord.id == own, is_here)
        .values(state=HeldState.DELETED.value, state_at=now, retry_key=None, claimed_by=by, lease_until=None)
    )
    if gone.rowcount == 0:
        raise UsageError(f"message {own} is {find(connection, own).state} and cannot be deleted")
    audit(connection, now, by, "deleted", own)


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

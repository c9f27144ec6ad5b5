"""The feedback ledger: people's labels, and the memory of near-duplicates that is read from it.

A label carries what must be known of its message, so that it acts for as long as it stands, whatever becomes of the
verdict. Nothing is derived and kept beside it: who revokes a label undoes all it does.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from filterd.core.envelope import Channel, MessageId
from filterd.core.near import ALIKE_BITS, likeness
from filterd.core.reported import Report
from filterd.core.verdict import Feedback, Label, Scan
from filterd.feedback_ports import ReportChange, Similar
from filterd.store import inputs
from filterd.store.quarantine import audit
from filterd.store.schema import FeedbackRecord, VerdictRecord, lookup_key
from filterd.store.verdicts import message_of


def add_feedback(connection: Connection, feedback: Feedback) -> bool:
    """Append the label and revoke the reporter's earlier, opposite one; False where it stands already.

    Raises NotFound.
    """
    message = message_of(connection, feedback.message_id)
    return _append(connection, feedback, message, lambda: _facts(connection, message, feedback.recipient))


def add_example(connection: Connection, feedback: Feedback, scan: Scan, sender: str) -> bool:
    """The same for a mail that never passed: there is no verdict on it, and what must be known of it is given."""
    facts = {
        "channel": Channel.EMAIL.value,
        "fingerprint": scan.fingerprint,
        "sender_key": lookup_key(sender),
        "model": "",  # no bundle judged it, so no bundle is corrected by it
        "recipients": [lookup_key(feedback.recipient)] if feedback.recipient else [],
    }
    inputs.record(connection, [inputs.example_row(feedback.message_id, feedback.given_at, scan)])
    return _append(connection, feedback, feedback.message_id, lambda: facts)


def _append(connection: Connection, feedback: Feedback, message: str, facts: Callable[[], dict[str, Any]]) -> bool:
    active = (
        FeedbackRecord.message_id == message,
        FeedbackRecord.reporter == feedback.reporter,
        FeedbackRecord.revoked_at.is_(None),
    )
    label = connection.scalar(select(FeedbackRecord.label).where(*active).with_for_update())
    if label == feedback.label.value:
        return False
    if label is not None:
        revoked = {"revoked_at": feedback.given_at, "revoked_by": feedback.reporter, "changed_at": feedback.given_at}
        connection.execute(update(FeedbackRecord).where(*active).values(**revoked))
    row = {
        "message_id": message,
        "label": feedback.label.value,
        "reporter": feedback.reporter,
        "origin": feedback.origin,
        "given_at": feedback.given_at,
        "changed_at": feedback.given_at,
        "revoked_by": "",
        "is_for_all": feedback.is_for_all,
    }
    connection.execute(insert(FeedbackRecord).values(row | facts()))
    return True


def _facts(connection: Connection, message: str, recipient: str) -> dict[str, Any]:
    """What the ledger keeps of the message, for ``recipient`` or, where that is none of them, for all it went to."""
    rows = connection.execute(
        select(VerdictRecord).where(VerdictRecord.id == message).order_by(VerdictRecord.part)
    ).all()
    keys = sorted({lookup_key(address) for row in rows for address in row.recipients})
    own = lookup_key(recipient)
    first = rows[0]
    return {
        "channel": first.channel,
        "fingerprint": first.fingerprint,
        "sender_key": first.sender_key,
        "model": first.model,
        "recipients": [own] if own in keys else keys,
    }


def changes(connection: Connection, since: datetime | None, most: int) -> Sequence[ReportChange]:
    """Labels on messages with a fingerprint that changed at ``since`` or later, the oldest change first."""
    query = select(FeedbackRecord).where(FeedbackRecord.fingerprint != "")
    if since is None:
        query = query.where(FeedbackRecord.revoked_at.is_(None), FeedbackRecord.retired_at.is_(None))
    else:
        query = query.where(FeedbackRecord.changed_at >= since)
    newest = query.order_by(FeedbackRecord.changed_at.desc(), FeedbackRecord.id.desc()).limit(most)
    return tuple(_change(row) for row in reversed(connection.execute(newest).all()))


def _change(row: Row[Any]) -> ReportChange:
    return ReportChange(
        report=Report(
            id=row.id,
            channel=Channel(row.channel),
            message=MessageId(row.message_id),
            fingerprint=row.fingerprint,
            label=Label(row.label),
            reporter=row.reporter,
            recipients=tuple(row.recipients),
            given_at=row.given_at,
            sender=row.sender_key,
            model=row.model,
            is_for_all=row.is_for_all,
        ),
        changed_at=row.changed_at,
        is_standing=row.revoked_at is None and row.retired_at is None,
    )


def similar(connection: Connection, channel: Channel, fingerprint: str, most: int) -> Sequence[Similar]:
    """Standing labels on messages like the one with ``fingerprint``, the nearest first."""
    table = FeedbackRecord
    standing = (table.revoked_at.is_(None), table.channel == channel.value, table.fingerprint != "")
    rows = connection.execute(select(table.id, table.fingerprint).where(*standing)).all()
    near = [(likeness(fingerprint, row.fingerprint), row.id) for row in rows]
    found = {id: bits for bits, id in heapq.nsmallest(most, [item for item in near if item[0] <= ALIKE_BITS])}
    labels = connection.execute(select(table).where(table.id.in_(found))).all()
    alike = [Similar(message=MessageId(r.message_id), report=_change(r).report, distance=found[r.id]) for r in labels]
    return sorted(alike, key=lambda similar: (similar.distance, similar.report.id))


def retire(connection: Connection, ids: Sequence[int], now: datetime) -> None:
    """The labels stand, but are no longer a memory of near-duplicates."""
    standing = (FeedbackRecord.id.in_(ids), FeedbackRecord.retired_at.is_(None))
    connection.execute(update(FeedbackRecord).where(*standing).values(retired_at=now, changed_at=now))


def take_back(connection: Connection, ids: Sequence[int], by: str, now: datetime) -> None:
    """Revoke these standing labels, and say in the audit trail who did."""
    if not ids:
        return
    revoked = {"revoked_at": now, "revoked_by": by, "changed_at": now}
    connection.execute(update(FeedbackRecord).where(FeedbackRecord.id.in_(ids)).values(**revoked))
    audit(connection, now, by, "revoked", "", json.dumps(list(ids)))


def fingerprints(connection: Connection, message: MessageId) -> set[str]:
    """Of the message, for all its recipients. Raises NotFound."""
    id = message_of(connection, message)
    return set(connection.scalars(select(VerdictRecord.fingerprint).where(VerdictRecord.id == id)))

"""Forgetting: rows past their declared days, and everything about one person."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Text, delete, func, or_, select, type_coerce, update

from filterd.core.envelope import domain_of
from filterd.digest_ports import TICKET_DAYS
from filterd.ports import HeldState
from filterd.settings import StoreSettings
from filterd.store import recipients, rules
from filterd.store.account_tables import TicketRecord
from filterd.store.held_rows import search_text
from filterd.store.inbox import SmsState
from filterd.store.quarantine import audit
from filterd.store.rule_tables import RuleRecord
from filterd.store.schema import (
    FeedbackRecord,
    HeldRecord,
    ScannedRecord,
    SmsMessageRecord,
    VerdictRecord,
    lookup_key,
    only_key,
)

BATCH = 500
"""Rows deleted in one transaction, so that messages are never kept waiting for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Days rows are kept; 0 keeps them, but no model inputs: those are kept with None."""

    verdict_days: int = 0
    quarantine_days: int = 0
    feedback_days: int = 0
    input_days: int | None = None
    sms_days: int = 0
    deleted_days: int = 0
    """Days the body of a deleted message is kept; with 0 it goes at once."""

    @classmethod
    def of(cls, settings: StoreSettings) -> Retention:
        """As configured."""
        return cls(
            verdict_days=settings.verdict_retention_days,
            quarantine_days=settings.quarantine_retention_days,
            feedback_days=settings.feedback_retention_days,
            input_days=settings.input_retention_days,
            sms_days=settings.sms_retention_days,
            deleted_days=settings.deleted_retention_days,
        )


_IN_CUSTODY = (HeldState.PENDING.value, HeldState.HELD.value, HeldState.RELEASING.value)

TABLES = ("verdict", "held", "feedback", "scanned", "sms", "rule", "deleted", "ticket")


def purge(connection: Connection, table: str, retention: Retention, now: datetime) -> int:
    """Delete up to ``BATCH`` rows of ``table`` that are past their days; how many went."""
    days = {
        "verdict": retention.verdict_days,
        "held": retention.quarantine_days,
        "feedback": retention.feedback_days,
        "rule": retention.feedback_days,
        "scanned": retention.input_days,
        "sms": retention.sms_days,
        "deleted": retention.deleted_days,
        "ticket": TICKET_DAYS,
    }[table]
    if days is None or (days == 0 and table not in {"scanned", "deleted"}):
        return 0
    old = now - timedelta(days=days)
    if table == "deleted":
        return _drop_bodies(connection, old)
    if table == "verdict":
        ids = select(VerdictRecord.id).where(VerdictRecord.received_at < old).limit(BATCH)
        statement = delete(VerdictRecord).where(VerdictRecord.id.in_(ids), VerdictRecord.received_at < old)
    elif table == "held":
        moving = (HeldState.PENDING.value, HeldState.RELEASING.value)
        ids = select(HeldRecord.id).where(HeldRecord.received_at < old, HeldRecord.state.not_in(moving)).limit(BATCH)
        statement = delete(HeldRecord).where(HeldRecord.id.in_(ids))
    elif table == "feedback":
        numbers = select(FeedbackRecord.id).where(FeedbackRecord.given_at < old).limit(BATCH)
        statement = delete(FeedbackRecord).where(FeedbackRecord.id.in_(numbers))
    elif table == "rule":
        # Those that stand are what people want today, however long ago they said so.
        numbers = select(RuleRecord.id).where(RuleRecord.revoked_at < old).limit(BATCH)
        statement = delete(RuleRecord).where(RuleRecord.id.in_(numbers))
    elif table == "scanned":
        # What a standing label is about is kept for the next model.
        labelled = select(FeedbackRecord.message_id).where(FeedbackRecord.revoked_at.is_(None))
        old_ones = (ScannedRecord.received_at < old, ScannedRecord.message_id.not_in(labelled))
        kept = select(ScannedRecord.message_id).where(*old_ones).limit(BATCH)
        statement = delete(ScannedRecord).where(ScannedRecord.message_id.in_(kept))
    elif table == "ticket":
        expired = select(TicketRecord.secret_sha256).where(TicketRecord.expires_at < old).limit(BATCH)
        statement = delete(TicketRecord).where(TicketRecord.secret_sha256.in_(expired))
    else:
        # What nobody has judged or delivered yet is ours to keep, and so is the payload of what a person may release.
        done = SmsMessageRecord.state == SmsState.DONE.value
        held = select(HeldRecord.id).where(
            HeldRecord.message_id == SmsMessageRecord.id, HeldRecord.state.in_(_IN_CUSTODY)
        )
        is_old = SmsMessageRecord.received_at < old
        ids = select(SmsMessageRecord.id).where(done, is_old, ~held.exists()).limit(BATCH)
        statement = delete(SmsMessageRecord).where(SmsMessageRecord.id.in_(ids))
    return connection.execute(statement).rowcount


def _drop_bodies(connection: Connection, old: datetime) -> int:
    """Of messages that somebody deleted; the row stays for the audit as long as held messages do."""
    deleted = HeldRecord.state == HeldState.DELETED.value
    ids = select(HeldRecord.id).where(deleted, HeldRecord.body.is_not(None), HeldRecord.state_at <= old).limit(BATCH)
    return connection.execute(update(HeldRecord).where(HeldRecord.id.in_(ids)).values(body=None)).rowcount


def erase(connection: Connection, address: str, by: str, now: datetime) -> dict[str, int]:
    """Delete what names ``address`` as sender or recipient; of a message for several people, only that recipient.

    Returns rows per table. The audit row says how many, not whose.
    """
    key = lookup_key(address)
    ids = _messages_of(connection, key)
    counts = {"verdict": _erase_verdicts(connection, key), "held": _erase_held(connection, key)}
    left = set(connection.scalars(select(VerdictRecord.id).where(VerdictRecord.id.in_(ids))))
    reporters = func.lower(FeedbackRecord.reporter) == key
    gone = FeedbackRecord.message_id.in_([id for id in ids if id not in left])
    counts["feedback"] = connection.execute(delete(FeedbackRecord).where(or_(reporters, gone))).rowcount
    counts["feedback"] += _erase_feedback(connection, key)
    counts["scanned"] = connection.execute(delete(ScannedRecord).where(ScannedRecord.message_id.in_(ids))).rowcount
    counts["sms"] = connection.execute(
        delete(SmsMessageRecord).where(or_(SmsMessageRecord.sender_key == key, SmsMessageRecord.recipient_key == key))
    ).rowcount
    counts["rule"] = rules.erase(connection, key, now)
    audit(connection, now, by, "erased", "", json.dumps(counts))
    return counts


def _erase_feedback(connection: Connection, key: str) -> int:
    """Labels on what ``key`` sent, and ``key`` out of those that speak for its mail."""
    count = connection.execute(delete(FeedbackRecord).where(FeedbackRecord.sender_key == key)).rowcount
    for row in _shared(connection, FeedbackRecord, key):
        left = _without(row.recipients, key)
        this = FeedbackRecord.id == row.id
        connection.execute(
            update(FeedbackRecord).where(this).values(recipients=left) if left else delete(FeedbackRecord).where(this)
        )
        count += 1
    return count


def _messages_of(connection: Connection, key: str) -> list[str]:
    whole = or_(VerdictRecord.sender_key == key, VerdictRecord.recipient_key == key)
    return list(connection.scalars(select(VerdictRecord.id).where(whole).distinct()))


def _erase_verdicts(connection: Connection, key: str) -> int:
    whole = or_(VerdictRecord.sender_key == key, VerdictRecord.recipient_key == key)
    count = connection.execute(delete(VerdictRecord).where(whole)).rowcount
    for row in _shared(connection, VerdictRecord, key):
        left = _without(row.recipients, key)
        this = (VerdictRecord.id == row.id, VerdictRecord.part == row.part)
        if left:
            only = only_key(left)
            values = {"recipients": left, "recipient_key": only, "recipient_domain": domain_of(only)}
            connection.execute(update(VerdictRecord).where(*this).values(**values))
            recipients.change_verdict(connection, row.id, row.part, left)
        else:
            connection.execute(delete(VerdictRecord).where(*this))
        count += 1
    return count


def _erase_held(connection: Connection, key: str) -> int:
    whole = or_(HeldRecord.sender_key == key, HeldRecord.recipient_key == key)
    count = connection.execute(delete(HeldRecord).where(whole)).rowcount
    for row in _shared(connection, HeldRecord, key):
        left = _without(row.recipients, key)
        if left:
            tree = row.envelope | {
                "recipients": [pair for pair in row.envelope["recipients"] if lookup_key(pair[0]) != key]
            }
            values = {
                "recipients": left,
                "recipient_key": only_key(left),
                "search": search_text(row.sender, left, row.subject),
                "envelope": tree,
            }
            connection.execute(update(HeldRecord).where(HeldRecord.id == row.id).values(**values))
            recipients.change_held(connection, row.id, left)
        else:
            connection.execute(delete(HeldRecord).where(HeldRecord.id == row.id))
        count += 1
    return count


def _shared(
    connection: Connection, table: type[VerdictRecord | HeldRecord | FeedbackRecord], key: str
) -> list[Row[Any]]:
    """Rows with several recipients, ``key`` among them."""
    # Narrowed down by the domain, which is ASCII in a list of recipients as received; then read and compared.
    needle = domain_of(key) if domain_of(key).isascii() else ""
    lists = func.lower(type_coerce(table.recipients, Text))
    columns = [c for c in table.__table__.c if c.name != "body"]
    query = select(*columns).where(lists.contains(needle, autoescape=True))
    if table is not FeedbackRecord:
        query = query.where(table.__table__.c.recipient_key == "")
    rows = connection.execute(query)
    return [row for row in rows if any(lookup_key(a) == key for a in row.recipients)]


def _without(recipients: list[str], key: str) -> list[str]:
    return [a for a in recipients if lookup_key(a) != key]

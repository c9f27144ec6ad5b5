"""Everything that people did and that can be taken back, from the books it stands in.

Labels and rules say themselves whether they stand. Releases and promotions stand in the audit trail, which is only
appended to: one that was taken back is followed by a row that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, ScalarSelect, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, aliased

from filterd.core.envelope import MessageId, domain_of, is_within
from filterd.core.near import is_near
from filterd.core.overlay import ListEntry, ListKind, told
from filterd.deed_ports import RULE_KINDS, Deed, DeedKind, Selection, Undone
from filterd.errors import UsageError
from filterd.feedback_ports import Labels
from filterd.ports import Clock
from filterd.store import ledger, rules
from filterd.store.quality import Transactions
from filterd.store.quarantine import audit
from filterd.store.rule_tables import RuleRecord
from filterd.store.schema import AuditRecord, FeedbackRecord, HeldRecord, VerdictRecord
from filterd.store.verdicts import message_of

_TAKEN_BACK = {"released": "release_undone", "promoted": "promotion_undone"}
"""Event in the audit trail -> the event that says it was taken back."""


class SqlDeeds:
    """Implements ``deed_ports.Deeds``."""

    def __init__(self, read: Transactions, write: Transactions, clock: Clock) -> None:
        self._read = read
        self._write = write
        self._clock = clock

    async def find(self, meant: Selection, *, has_revoked: bool = False, limit: int = 50) -> Sequence[Deed]:
        """See ``deed_ports.Deeds``."""
        return await self._read(partial(listed, meant=meant, has_revoked=has_revoked, limit=limit))

    async def undo(self, meant: Selection, by: str, *, is_rehearsal: bool = False) -> Undone:
        """See ``deed_ports.Deeds``."""
        if meant.is_empty:
            raise UsageError("say what to undo")
        if is_rehearsal:
            return await self._read(partial(standing, meant=meant))
        return await self._write(partial(undo, meant=meant, by=by, now=self._clock.now()))


def only_labels(meant: Labels) -> Selection:
    """The same selection, of labels alone."""
    return Selection(
        message=meant.message,
        by=meant.reporter,
        sender_domain=meant.sender_domain,
        campaign=meant.campaign,
        since=meant.since,
        until=meant.until,
        kinds=frozenset({DeedKind.LABEL}),
    )


def listed(connection: Connection, meant: Selection, limit: int, *, has_revoked: bool) -> Sequence[Deed]:
    """The latest of the deeds that are meant, newest first."""
    found = [each.deed for each in _found(connection, meant, has_revoked=has_revoked)]
    return sorted(found, key=lambda deed: (deed.at, deed.number), reverse=True)[:limit]


def standing(connection: Connection, meant: Selection) -> Undone:
    """What stands of what is meant, and what releases among it gave."""
    found = [each.deed for each in _found(connection, meant, has_revoked=False)]
    releases = [deed for deed in found if deed.kind is DeedKind.RELEASE]
    labels = {deed.number for deed in found if deed.kind is DeedKind.LABEL}
    own = {deed.number for deed in found if deed.kind in RULE_KINDS}
    for release in releases:
        labels |= set(connection.scalars(_labels_with(release)))
        own |= set(connection.scalars(_entries_with(release)))
    return Undone(
        labels=tuple(sorted(labels)),
        rules=tuple(sorted(own)),
        releases=tuple(MessageId(deed.what) for deed in releases),
        promotions=tuple(deed.what for deed in found if deed.kind is DeedKind.PROMOTION),
    )


def undo(connection: Connection, meant: Selection, by: str, now: datetime) -> Undone:
    """Take back what stands of what is meant; see ``deed_ports.Deeds.undo``."""
    found = standing(connection, meant)
    ledger.take_back(connection, found.labels, by, now)
    rules.revoke(connection, found.rules, by, now)
    for held in found.releases:
        audit(connection, now, by, _TAKEN_BACK["released"], held)
    for bundle in found.promotions:
        audit(connection, now, by, _TAKEN_BACK["promoted"], bundle)
    return found


def _labels_with(release: Deed) -> Select[int]:
    """Standing labels that were given by the release."""
    table = FeedbackRecord
    own = (table.message_id == release.message, table.reporter == release.by, table.origin == "release")
    return select(table.id).where(*own, table.revoked_at.is_(None))


def _entries_with(release: Deed) -> Select[int]:
    """Standing entries by which whoever released the message allowed its sender."""
    table = RuleRecord
    own = (table.message_id == release.message, table.given_by == release.by, table.kind == ListKind.ALLOW.value)
    return select(table.id).where(*own, table.revoked_at.is_(None))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An deed, and what a selection asks of it beside who, when and which message."""

    deed: Deed
    fingerprint: str
    domains: tuple[str, ...]
    """Of the senders it is about; empty for a number."""


def _found(connection: Connection, meant: Selection, *, has_revoked: bool) -> list[_Found]:
    message = None if meant.message is None else message_of(connection, meant.message)
    texts = None if meant.campaign is None else ledger.fingerprints(connection, meant.campaign)
    books: tuple[tuple[frozenset[DeedKind], Callable[[Connection, Selection, str | None], Iterable[_Found]]], ...] = (
        (frozenset({DeedKind.LABEL}), _labels),
        (RULE_KINDS, _rules),
        (frozenset({DeedKind.RELEASE}), partial(_audited, event="released")),
        (frozenset({DeedKind.PROMOTION}), partial(_audited, event="promoted")),
    )
    return [
        each
        for kinds, book in books
        if kinds & meant.kinds
        for each in book(connection, meant, message)
        if each.deed.kind in meant.kinds
        and (has_revoked or each.deed.revoked_at is None)
        and (texts is None or any(is_near(each.fingerprint, text) for text in texts))
        and (not meant.sender_domain or any(is_within(domain, meant.sender_domain) for domain in each.domains))
    ]


def _labels(connection: Connection, meant: Selection, message: str | None) -> Iterable[_Found]:
    table = FeedbackRecord
    query = _of(select(table), meant, message, by=table.reporter, at=table.given_at, of=table.message_id)
    for row in connection.execute(query):
        deed = Deed(
            kind=DeedKind.LABEL,
            number=row.id,
            at=row.given_at,
            by=row.reporter,
            message=MessageId(row.message_id),
            what=row.label,
            revoked_at=row.revoked_at,
            revoked_by=row.revoked_by,
        )
        yield _Found(deed=deed, fingerprint=row.fingerprint, domains=(domain_of(row.sender_key),))


def _rules(connection: Connection, meant: Selection, message: str | None) -> Iterable[_Found]:
    table = RuleRecord
    query = select(table, _fingerprint_of(table.message_id).label("fingerprint"))
    query = _of(query, meant, message, by=table.given_by, at=table.given_at, of=table.message_id)
    for row in connection.execute(query):
        given = rules.row_from(row).given
        entry = given.rule if isinstance(given.rule, ListEntry) else None
        deed = Deed(
            kind=DeedKind.THRESHOLDS if entry is None else DeedKind(entry.kind.value),
            number=row.id,
            at=given.given_at,
            by=given.by,
            message=given.message,
            what=told(given.rule),
            revoked_at=row.revoked_at,
            revoked_by=row.revoked_by,
        )
        listed = "" if entry is None else domain_of(entry.entry) or entry.entry
        domains = (domain_of(row.sender_key), listed)
        yield _Found(deed=deed, fingerprint=row.fingerprint or "", domains=domains)


def _audited(connection: Connection, meant: Selection, message: str | None, *, event: str) -> Iterable[_Found]:
    """Releases or promotions, and whether a later row takes them back."""
    table, later = AuditRecord, aliased(AuditRecord)
    undone = (later.event == _TAKEN_BACK[event], later.target == table.target, later.id > table.id)
    first = select(func.min(later.id)).where(*undone).correlate(table).scalar_subquery()
    query = (
        select(
            table,
            HeldRecord.message_id,
            HeldRecord.sender_key,
            _fingerprint_of(HeldRecord.message_id).label("fingerprint"),
            later.at.label("revoked_at"),
            later.by.label("revoked_by"),
        )
        .outerjoin(HeldRecord, HeldRecord.id == table.target)
        .outerjoin(later, later.id == first)
        .where(table.event == event)
    )
    for row in connection.execute(_of(query, meant, message, by=table.by, at=table.at, of=HeldRecord.message_id)):
        found = Deed(
            kind=DeedKind.RELEASE if event == "released" else DeedKind.PROMOTION,
            number=row.id,
            at=row.at,
            by=row.by,
            message=None if row.message_id is None else MessageId(row.message_id),
            what=row.target,
            revoked_at=row.revoked_at,
            revoked_by=row.revoked_by or "",
        )
        yield _Found(deed=found, fingerprint=row.fingerprint or "", domains=(domain_of(row.sender_key or ""),))


def _fingerprint_of(message: InstrumentedAttribute[Any]) -> ScalarSelect[Any]:
    return select(func.min(VerdictRecord.fingerprint)).where(VerdictRecord.id == message).scalar_subquery()


def _of(
    query: Select[Any],
    meant: Selection,
    message: str | None,
    *,
    by: InstrumentedAttribute[str],
    at: InstrumentedAttribute[datetime],
    of: InstrumentedAttribute[Any],
) -> Select[Any]:
    """``query`` for what was done by these, then, about this message."""
    if message is not None:
        query = query.where(of == message)
    if meant.by:
        query = query.where(by == meant.by)
    if meant.since is not None:
        query = query.where(at >= meant.since)
    if meant.until is not None:
        query = query.where(at < meant.until)
    return query

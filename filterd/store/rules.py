"""The book of rules set at run time: list entries and thresholds, appended and revoked, never edited."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select, update

from filterd.core.envelope import MessageId
from filterd.core.overlay import EVERYBODY, ListEntry, ListKind, RuntimeRule, Thresholds
from filterd.core.policy import Threshold
from filterd.errors import NotFound, UsageError
from filterd.ports import Clock
from filterd.rule_ports import MOST_PER_SCOPE, AddedRule, GivenRule, RuleOrigin, RuleRow
from filterd.store.finding import has, needle
from filterd.store.quality import Transactions
from filterd.store.quarantine import audit
from filterd.store.rule_tables import RuleRecord
from filterd.store.schema import VerdictRecord
from filterd.store.upsert import upsert
from filterd.store.verdicts import message_of

THRESHOLDS = "thresholds"
"""Kind of a row that is no list entry."""


class SqlRules:
    """Implements ``rule_ports.RuleBook``."""

    def __init__(self, read: Transactions, write: Transactions, clock: Clock) -> None:
        self._read = read
        self._write = write
        self._clock = clock

    async def add(self, given: GivenRule) -> AddedRule:
        """See ``rule_ports.RuleBook``."""
        return await self._write(partial(add, given=given))

    async def find(self, id: int) -> RuleRow:
        """See ``rule_ports.RuleBook``."""
        return await self._read(partial(find, id=id))

    async def list(
        self, *, scope: str | None = None, has_revoked: bool = False, before: int | None = None, limit: int = 50
    ) -> Sequence[RuleRow]:
        """See ``rule_ports.RuleBook``."""
        return await self._read(partial(listed, scope=scope, has_revoked=has_revoked, before=before, limit=limit))

    async def entries(
        self, scope: str, kind: ListKind, *, text: str = "", before: int | None = None, limit: int = 50
    ) -> Sequence[RuleRow]:
        """See ``rule_ports.RuleBook``."""
        return await self._read(partial(entries, scope=scope, kind=kind, text=text, before=before, limit=limit))

    async def thresholds(self, scope: str) -> RuleRow | None:
        """See ``rule_ports.RuleBook``."""
        return await self._read(partial(thresholds, scope=scope))

    async def revoke(self, ids: Sequence[int], by: str) -> Sequence[int]:
        """See ``rule_ports.RuleBook``."""
        return await self._write(partial(revoke, ids=ids, by=by, now=self._clock.now()))

    async def changes_since(self, since: datetime | None) -> Sequence[RuleRow]:
        """See ``rule_ports.RuleChanges``."""
        return await self._read(partial(changes, since=since))


def add(connection: Connection, given: GivenRule) -> AddedRule:
    """Append the rule; see ``rule_ports.RuleBook.add``."""
    rule = given.rule
    message = None if given.message is None else message_of(connection, given.message)
    if isinstance(rule, ListEntry):
        standing = _standing(connection, rule)
        if standing is not None and standing.kind == rule.kind.value:
            return AddedRule(id=standing.id, is_new=False)
        if standing is not None:
            revoke(connection, (standing.id,), given.by, given.given_at)
        else:
            _check_room(connection, rule.scope)
    row = _columns(rule) | {
        "given_by": given.by,
        "given_at": given.given_at,
        "origin": given.origin.value,
        "message_id": message,
        "sender_key": "" if message is None else _sender_of(connection, message),
        "revoked_by": "",
        "changed_at": given.given_at,
    }
    statement = upsert(connection.dialect.name, RuleRecord.__table__).values(row).on_conflict_do_nothing()
    id = connection.scalar(statement.returning(RuleRecord.id))
    if id is None:
        # Somebody else gave an entry for the same sender at the same time: now it can be seen.
        return add(connection, given)
    audit(connection, given.given_at, given.by, "rule_added", str(id), f"{row['kind']} {given.origin.value}")
    return AddedRule(id=id, is_new=True)


def _standing(connection: Connection, rule: ListEntry) -> Row[Any] | None:
    """The entry that stands for the same sender in the same scope."""
    table = RuleRecord
    same = (table.scope == rule.scope, table.entry == rule.entry, table.revoked_at.is_(None))
    return connection.execute(select(table).where(*same).with_for_update()).first()


def _check_room(connection: Connection, scope: str) -> None:
    if scope == EVERYBODY:
        return
    table = RuleRecord
    meant = (table.scope == scope, table.entry != "", table.revoked_at.is_(None))
    count = connection.scalar(select(func.count()).select_from(table).where(*meant)) or 0
    if count >= MOST_PER_SCOPE:
        raise UsageError(f"{scope} has {count} list entries, and can have no more")


def _sender_of(connection: Connection, message: str) -> str:
    query = select(VerdictRecord.sender_key).where(VerdictRecord.id == message).limit(1)
    return connection.scalar(query) or ""


def _columns(rule: RuntimeRule) -> dict[str, Any]:
    if isinstance(rule, ListEntry):
        said: dict[str, Any] = {"kind": rule.kind.value, "entry": rule.entry}
        return said | {"scope": rule.scope, "tag_at": "", "quarantine_at": "", "is_enabled": None}
    return {
        "scope": rule.scope,
        "kind": THRESHOLDS,
        "entry": "",
        "tag_at": _text(rule.tag_at),
        "quarantine_at": _text(rule.quarantine_at),
        "is_enabled": rule.is_enabled,
    }


def _text(at: Threshold | None) -> str:
    return "" if at is None else str(at)


def _threshold(text: str) -> Threshold | None:
    try:
        return float(text)
    except ValueError:
        return text or None


def row_from(row: Row[Any]) -> RuleRow:
    """The rule in ``row``."""
    return RuleRow(
        id=row.id,
        given=GivenRule(
            rule=_rule_from(row),
            by=row.given_by,
            given_at=row.given_at,
            origin=RuleOrigin(row.origin),
            message=None if row.message_id is None else MessageId(row.message_id),
        ),
        sender=row.sender_key,
        changed_at=row.changed_at,
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
    )


def _rule_from(row: Row[Any]) -> RuntimeRule:
    if row.kind != THRESHOLDS:
        return ListEntry(scope=row.scope, kind=ListKind(row.kind), entry=row.entry)
    return Thresholds(
        scope=row.scope,
        tag_at=_threshold(row.tag_at),
        quarantine_at=_threshold(row.quarantine_at),
        is_enabled=row.is_enabled,
    )


def find(connection: Connection, id: int) -> RuleRow:
    """The rule with that number. Raises NotFound."""
    row = connection.execute(select(RuleRecord).where(RuleRecord.id == id)).first()
    if row is None:
        raise NotFound(f"no rule {id}")
    return row_from(row)


def listed(
    connection: Connection, scope: str | None, before: int | None, limit: int, *, has_revoked: bool
) -> Sequence[RuleRow]:
    """Rules, newest first."""
    query = select(RuleRecord).order_by(RuleRecord.id.desc()).limit(limit)
    if scope is not None:
        query = query.where(RuleRecord.scope == scope)
    if before is not None:
        query = query.where(RuleRecord.id < before)
    if not has_revoked:
        query = query.where(RuleRecord.revoked_at.is_(None))
    return tuple(map(row_from, connection.execute(query)))


def entries(
    connection: Connection, scope: str, kind: ListKind, text: str, before: int | None, limit: int
) -> Sequence[RuleRow]:
    """Standing entries of one list, newest first."""
    query = _standing_of(scope, kind.value).limit(limit)
    if text:
        query = query.where(has(connection.dialect.name, RuleRecord.entry, needle(text)))
    if before is not None:
        query = query.where(RuleRecord.id < before)
    return tuple(map(row_from, connection.execute(query)))


def thresholds(connection: Connection, scope: str) -> RuleRow | None:
    """The latest that stand."""
    row = connection.execute(_standing_of(scope, THRESHOLDS).limit(1)).first()
    return None if row is None else row_from(row)


def _standing_of(scope: str, kind: str) -> Select[RuleRecord]:
    table = RuleRecord
    meant = (table.scope == scope, table.kind == kind, table.revoked_at.is_(None))
    return select(table.__table__).where(*meant).order_by(table.id.desc())


def revoke(connection: Connection, ids: Sequence[int], by: str, now: datetime) -> Sequence[int]:
    """Take back those of the rules that stand, and say in the audit trail who did; their numbers."""
    standing = (RuleRecord.id.in_(ids), RuleRecord.revoked_at.is_(None))
    changed = update(RuleRecord).where(*standing).values(revoked_at=now, revoked_by=by, changed_at=now)
    found = sorted(connection.scalars(changed.returning(RuleRecord.id)))
    if found:
        audit(connection, now, by, "rules_revoked", "", json.dumps(found))
    return found


def erase(connection: Connection, key: str, now: datetime) -> int:
    """Empty the rules for, about and by ``key``; how many.

    Their numbers stay, revoked: every worker must hear that they hold no longer.
    """
    table = RuleRecord
    nobody = {"given_by": "", "revoked_by": "", "message_id": None, "sender_key": "", "changed_at": now}
    empty = {"scope": "", "entry": "", "tag_at": "", "quarantine_at": "", "is_enabled": None}
    gone = or_(table.scope == key, table.entry.in_((key, f"+{key}")), func.lower(table.given_by) == key)
    revoked = {"revoked_at": func.coalesce(table.revoked_at, now)}
    count = connection.execute(update(table).where(gone).values(**nobody, **empty, **revoked)).rowcount
    connection.execute(update(table).where(table.sender_key == key).values(sender_key="", message_id=None))
    connection.execute(update(table).where(func.lower(table.revoked_by) == key).values(revoked_by=""))
    return count


def changes(connection: Connection, since: datetime | None) -> Sequence[RuleRow]:
    """Rules that changed at ``since`` or later, or all that stand, by number."""
    query = select(RuleRecord).order_by(RuleRecord.id)
    if since is None:
        query = query.where(RuleRecord.revoked_at.is_(None))
    else:
        query = query.where(RuleRecord.changed_at >= since)
    return tuple(map(row_from, connection.execute(query)))

"""The book of rules in a list."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from filterd.core.envelope import MessageId, address_key
from filterd.core.overlay import EVERYBODY, ListEntry, ListKind, Thresholds
from filterd.errors import NotFound, UsageError
from filterd.rule_ports import MOST_PER_SCOPE, AddedRule, GivenRule, RuleRow


class MemoryRules:
    """Implements ``rule_ports.RuleBook``."""

    def __init__(
        self,
        check: Callable[[], datetime],
        message_of: Callable[[MessageId], MessageId],
        sender_of: Callable[[MessageId], str],
    ) -> None:
        """``check`` gives the time, or raises; ``message_of`` knows a message by any of its ids, or raises."""
        self._check = check
        self._message_of = message_of
        self._sender_of = sender_of
        self._rows: dict[int, RuleRow] = {}
        self._next = 1

    async def add(self, given: GivenRule) -> AddedRule:
        """See ``rule_ports.RuleBook``."""
        self._check()
        message = None if given.message is None else self._message_of(given.message)
        if isinstance(given.rule, ListEntry):
            entries = self._entries(given.rule.scope)
            standing = entries.get(given.rule.entry)
            if standing is not None and standing.given.rule == given.rule:
                return AddedRule(id=standing.id, is_new=False)
            if standing is not None:
                self._revoke(standing, given.by, given.given_at)
            elif given.rule.scope != EVERYBODY and len(entries) >= MOST_PER_SCOPE:
                raise UsageError(f"{given.rule.scope} has {len(entries)} list entries, and can have no more")
        id, self._next = self._next, self._next + 1
        sender = "" if message is None else address_key(self._sender_of(message))
        self._rows[id] = RuleRow(id=id, given=replace(given, message=message), sender=sender, changed_at=given.given_at)
        return AddedRule(id=id, is_new=True)

    def _entries(self, scope: str) -> dict[str, RuleRow]:
        """Standing list entries of ``scope`` by what they name."""
        return {
            row.given.rule.entry: row
            for row in self._rows.values()
            if row.is_standing and row.given.rule.scope == scope and isinstance(row.given.rule, ListEntry)
        }

    async def find(self, id: int) -> RuleRow:
        """See ``rule_ports.RuleBook``."""
        self._check()
        if id not in self._rows:
            raise NotFound(f"no rule {id}")
        return self._rows[id]

    async def list(
        self, *, scope: str | None = None, has_revoked: bool = False, before: int | None = None, limit: int = 50
    ) -> Sequence[RuleRow]:
        """See ``rule_ports.RuleBook``."""
        self._check()
        found = [
            row
            for id, row in sorted(self._rows.items(), reverse=True)
            if (scope is None or row.given.rule.scope == scope)
            and (has_revoked or row.is_standing)
            and (before is None or id < before)
        ]
        return tuple(found[:limit])

    async def entries(
        self, scope: str, kind: ListKind, *, text: str = "", before: int | None = None, limit: int = 50
    ) -> Sequence[RuleRow]:
        """See ``rule_ports.RuleBook``."""
        self._check()
        rows = sorted(self._entries(scope).items(), key=lambda item: item[1].id, reverse=True)
        found = (row for entry, row in rows if text.lower() in entry and (before is None or row.id < before))
        ours = (row for row in found if isinstance(row.given.rule, ListEntry) and row.given.rule.kind is kind)
        return tuple(itertools.islice(ours, limit))

    async def thresholds(self, scope: str) -> RuleRow | None:
        """See ``rule_ports.RuleBook``."""
        rows = await self.list(scope=scope, limit=len(self._rows))
        return next((row for row in rows if isinstance(row.given.rule, Thresholds)), None)

    async def revoke(self, ids: Sequence[int], by: str) -> Sequence[int]:
        """See ``rule_ports.RuleBook``."""
        now = self._check()
        found = [self._rows[id] for id in sorted(set(ids)) if id in self._rows and self._rows[id].is_standing]
        for row in found:
            self._revoke(row, by, now)
        return [row.id for row in found]

    def _revoke(self, row: RuleRow, by: str, now: datetime) -> None:
        self._rows[row.id] = replace(row, revoked_at=now, revoked_by=by, changed_at=now)

    async def changes_since(self, since: datetime | None) -> Sequence[RuleRow]:
        """See ``rule_ports.RuleChanges``."""
        self._check()
        rows = [row for _, row in sorted(self._rows.items())]
        return tuple(row for row in rows if (row.is_standing if since is None else row.changed_at >= since))

    def rows(self) -> Sequence[RuleRow]:
        """All rules as they are now."""
        return tuple(self._rows.values())

    def given_with_release(self, message: MessageId | None, by: str) -> set[int]:
        """Numbers of the standing entries by which whoever released a message allowed its sender."""
        return {
            row.id
            for row in self._rows.values()
            if row.is_standing
            and (row.given.message, row.given.by) == (message, by)
            and isinstance(row.given.rule, ListEntry)
            and row.given.rule.kind is ListKind.ALLOW
        }

    def erase(self, gone: str, now: datetime) -> int:
        """Empty the rules for, about and by ``gone``; how many."""
        count = 0
        for id, row in self._rows.items():
            rule = row.given.rule
            entry = address_key(rule.entry) if isinstance(rule, ListEntry) else ""
            if gone in {rule.scope, entry, row.given.by.lower()}:
                empty = ListEntry(scope="", kind=ListKind.ALLOW, entry="")
                given = replace(row.given, rule=empty, by="", message=None)
                at = row.revoked_at or now
                self._rows[id] = replace(row, given=given, sender="", revoked_at=at, revoked_by="", changed_at=now)
                count += 1
            elif gone == row.sender:
                self._rows[id] = replace(row, given=replace(row.given, message=None), sender="")
        return count

    def purge(self, old: datetime) -> int:
        """Forget what was revoked before ``old``; how many."""
        gone = [id for id, row in self._rows.items() if row.revoked_at is not None and row.revoked_at < old]
        for id in gone:
            del self._rows[id]
        return len(gone)

"""Writes rules into the book for people, and takes them back."""

from __future__ import annotations

from collections.abc import Sequence

from filterd.core.envelope import MessageId
from filterd.core.overlay import RuntimeRule
from filterd.errors import UsageError
from filterd.log import Events
from filterd.ports import Clock
from filterd.rule_ports import AddedRule, GivenRule, RuleBook, RuleOrigin


class RuleDesk:
    """Adds and revokes rules of one origin. Who may do what is decided before they get here."""

    def __init__(self, book: RuleBook, *, origin: RuleOrigin, clock: Clock, events: Events) -> None:
        self._book = book
        self._origin = origin
        self._clock = clock
        self._events = events

    async def give(self, rule: RuntimeRule, by: str, message: MessageId | None = None) -> AddedRule:
        """Write the rule down; every worker goes by it within two seconds.

        Raises NotFound for an unknown message, UsageError where the scope is full, and StoreUnavailable.
        """
        given = GivenRule(rule=rule, by=by, given_at=self._clock.now(), origin=self._origin, message=message)
        added = await self._book.add(given)
        if added.is_new:
            self._events.rule_given(added.id, given)
        return added

    async def take_back(self, id: int, by: str) -> None:
        """Revoke one rule. Raises NotFound, UsageError where it was revoked already, and StoreUnavailable."""
        await self._book.find(id)
        revoked: Sequence[int] = await self._book.revoke((id,), by)
        if not revoked:
            raise UsageError(f"rule {id} was revoked already")
        self._events.rules_revoked(revoked, by)

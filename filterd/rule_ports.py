"""What rules set at run time need from the outside: the book they stand in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from filterd.core.envelope import MessageId
from filterd.core.overlay import ListKind, RuntimeRule

MOST_PER_SCOPE = 1_000
"""Standing list entries of one recipient or domain; those for everybody are not counted."""


class RuleOrigin(StrEnum):
    """Where a rule was given."""

    WEB = "web"
    API = "api"
    CLI = "cli"


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenRule:
    """A list entry or thresholds, and who gave them."""

    rule: RuntimeRule
    by: str
    given_at: datetime
    origin: RuleOrigin
    message: MessageId | None = None
    """The message it was given at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """A rule in the book as it is now."""

    id: int
    """Higher is later."""
    given: GivenRule
    sender: str
    """Key of the envelope sender of the message it was given at; empty without one."""
    changed_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str = ""

    @property
    def is_standing(self) -> bool:
        """Whether it was not revoked."""
        return self.revoked_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedRule:
    """Where a rule stands in the book."""

    id: int
    is_new: bool
    """False where the same entry stood already."""


class RuleChanges(Protocol):
    """The part of the book that workers follow."""

    async def changes_since(self, since: datetime | None) -> Sequence[RuleRow]:
        """Rules that changed at ``since`` or later, or all that stand; by number. Raises StoreUnavailable."""
        ...


class RuleBook(RuleChanges, Protocol):
    """Rules: appended, revocable, never edited."""

    async def add(self, given: GivenRule) -> AddedRule:
        """Durable on return; the opposite list entry of the same scope and sender is revoked with it.

        Raises NotFound for an unknown message, UsageError where the scope has MOST_PER_SCOPE entries, and
        StoreUnavailable.
        """
        ...

    async def find(self, id: int) -> RuleRow:
        """Raises NotFound and StoreUnavailable."""
        ...

    async def list(
        self, *, scope: str | None = None, has_revoked: bool = False, before: int | None = None, limit: int = 50
    ) -> Sequence[RuleRow]:
        """Rules of one scope or of all, newest first, numbered below ``before``. Raises StoreUnavailable."""
        ...

    async def entries(
        self, scope: str, kind: ListKind, *, text: str = "", before: int | None = None, limit: int = 50
    ) -> Sequence[RuleRow]:
        """Standing entries of one list with ``text`` in them, newest first, numbered below ``before``.

        Raises StoreUnavailable.
        """
        ...

    async def thresholds(self, scope: str) -> RuleRow | None:
        """The latest thresholds that stand for ``scope``. Raises StoreUnavailable."""
        ...

    async def revoke(self, ids: Sequence[int], by: str) -> Sequence[int]:
        """Numbers of those that stood until now, audited. Raises StoreUnavailable."""
        ...

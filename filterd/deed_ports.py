"""What people did that can be taken back: one list of deeds over all books, and one way to undo them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from filterd.core.envelope import MessageId


class DeedKind(StrEnum):
    """What somebody did."""

    LABEL = "label"
    ALLOW = "allow"
    DENY = "deny"
    THRESHOLDS = "thresholds"
    RELEASE = "release"
    PROMOTION = "promotion"


RULE_KINDS = frozenset({DeedKind.ALLOW, DeedKind.DENY, DeedKind.THRESHOLDS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which standing deeds are meant: those that fit everything that is given."""

    message: MessageId | None = None
    by: str = ""
    sender_domain: str = ""
    """Domain of the envelope sender of the message, or of the sender on a list, or a domain above it."""
    campaign: MessageId | None = None
    """A message; what was done about it and about its near-duplicates."""
    since: datetime | None = None
    until: datetime | None = None
    """Done at ``since`` or later, and before ``until``."""
    kinds: frozenset[DeedKind] = frozenset(DeedKind)

    @property
    def is_empty(self) -> bool:
        """Whether nothing but kinds is given: everything of these kinds would be meant."""
        return not (self.by or self.sender_domain or self.is_about_messages or self.since or self.until)

    @property
    def is_about_messages(self) -> bool:
        """Whether only what was done about some messages is meant."""
        return self.message is not None or self.campaign is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that somebody did, and whether it stands."""

    kind: DeedKind
    number: int
    """In the book of its kind: labels, rules, or the audit trail."""
    at: datetime
    by: str
    message: MessageId | None
    """The message it is about, if it is about one."""
    what: str
    """The label, list entry, thresholds or bundle."""
    revoked_at: datetime | None = None
    revoked_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undone:
    """What was taken back, or would be."""

    labels: tuple[int, ...] = ()
    rules: tuple[int, ...] = ()
    """Numbers, also of those that a release had given."""
    releases: tuple[MessageId, ...] = ()
    """The messages are delivered all the same."""
    promotions: tuple[str, ...] = ()
    """Bundle ids."""


class Deeds(Protocol):
    """Everything that can be taken back."""

    async def find(self, meant: Selection, *, has_revoked: bool = False, limit: int = 50) -> Sequence[Deed]:
        """The latest of those that are meant, newest first.

        Raises NotFound for a campaign of an unknown message, and StoreUnavailable.
        """
        ...

    async def undo(self, meant: Selection, by: str, *, is_rehearsal: bool = False) -> Undone:
        """Take back the standing deeds that are meant, all or none, audited; a rehearsal changes nothing.

        With a release go the label it gave, and the entries by which the same person allowed the sender at this
        message. A promotion is only written down as taken back.
        Raises UsageError where nothing is given, NotFound for a campaign of an unknown message, and StoreUnavailable.
        """
        ...

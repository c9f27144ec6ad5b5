"""What people look through: held messages, the verdicts on all messages, and campaigns, as far as they reach.

Whose messages somebody may see is part of every question, so that a message out of reach and one that is not there
get the same answer; and of a message within reach the other recipients are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from filterd.core.access import EVERYBODY, Reach
from filterd.core.envelope import Channel, MessageId
from filterd.core.mail_view import MailView
from filterd.core.threshold_preview import Judged
from filterd.core.verdict import Action, OutcomeKind, Reason
from filterd.ports import HeldState, HeldSummary, VerdictRow

IN_QUARANTINE = frozenset({HeldState.HELD, HeldState.RELEASING})


class Keeping(StrEnum):
    """What has become of held messages, as people ask for it."""

    HELD = "held"
    RELEASED = "released"
    DELETED = "deleted"

    @property
    def states(self) -> frozenset[HeldState]:
        """The states that are meant."""
        return IN_QUARANTINE if self is Keeping.HELD else frozenset({HeldState(self.value)})


COUNT_LIMIT = 1_000
"""Counting ends here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldQuery:
    """Which held messages: those that fit everything that is given, case aside."""

    reach: Reach = EVERYBODY
    text: str = ""
    """Part of the sender, of a recipient or of the subject."""
    sender: str = ""
    """Part of the envelope sender."""
    recipient: str = ""
    """Part of a recipient within reach."""
    subject: str = ""
    """Part of the subject."""
    since: datetime | None = None
    until: datetime | None = None
    """Received at ``since`` or later, and before ``until``."""
    reasons: frozenset[Reason] = frozenset()
    """Any, where empty."""
    least_probability: float | None = None
    most_probability: float | None = None
    """Both included; what was not scored has no probability and fits neither."""
    channel: Channel | None = None
    states: frozenset[HeldState] = IN_QUARANTINE
    before: MessageId | None = None
    """Ids below this one: the last of the page before."""
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPage:
    """A page of held messages."""

    held: Sequence[HeldSummary]
    """The newest first."""
    count: int
    """How many there are, up to ``COUNT_LIMIT``, whatever the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictQuery:
    """Which verdicts: those that fit everything that is given, case aside."""

    reach: Reach = EVERYBODY
    text: str = ""
    """Part of the sender or of a recipient within reach."""
    sender: str = ""
    """Part of the envelope sender."""
    recipient: str = ""
    """Part of a recipient within reach."""
    since: datetime | None = None
    until: datetime | None = None
    """Received at ``since`` or later, and before ``until``."""
    actions: frozenset[Action] = frozenset()
    outcomes: frozenset[OutcomeKind] = frozenset()
    reasons: frozenset[Reason] = frozenset()
    """Any, where these are empty."""
    least_probability: float | None = None
    most_probability: float | None = None
    """Both included; what was not scored has no probability and fits neither."""
    channel: Channel | None = None
    before: MessageId | None = None
    """Ids below this one: the last of the page before."""
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """Messages with nearly the same text."""

    channel: Channel
    count: int
    """Messages."""
    first_at: datetime
    last_at: datetime
    messages: tuple[MessageId, ...]
    """The newest first."""
    held: tuple[MessageId, ...]
    """Those of them that are in the quarantine now, by the ids they have there."""
    senders: int
    """Different envelope senders."""
    sender: str
    """Of the newest."""
    subject: str
    """Of the newest that is held; empty where none is."""
    probability: float | None
    """Of the newest."""
    spam_labels: int
    ham_labels: int
    """Labels that stand on any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HourCount:
    """How many verdicts of an hour were alike."""

    hour: datetime
    """When it began, UTC."""
    channel: Channel
    action: Action
    count: int


class Review(Protocol):
    """What the pages read. Every method raises StoreUnavailable when the database does not answer."""

    async def list_held(self, query: HeldQuery) -> Sequence[HeldSummary]:
        """Held messages, newest first, with the recipients within reach."""
        ...

    async def page_held(self, query: HeldQuery) -> HeldPage:
        """What ``list_held`` and ``count_held`` say, looked for once."""
        ...

    async def count_held(self, query: HeldQuery) -> int:
        """How many there are, up to ``COUNT_LIMIT``, whatever the page."""
        ...

    async def history(self, query: VerdictQuery) -> Sequence[VerdictRow]:
        """Verdicts, newest first, with the recipients within reach.

        All that fit on the last message are there, which may be a few more than ``limit``.
        """
        ...

    async def verdicts(self, id: MessageId, reach: Reach) -> Sequence[VerdictRow]:
        """The verdicts on a message for recipients within reach. Raises NotFound where there are none."""
        ...

    async def judged(self, reach: Reach, since: datetime, *, most: int) -> Sequence[Judged]:
        """The newest ``most`` scored messages received at ``since`` or later, and what people made of them."""
        ...

    async def campaigns(
        self, reach: Reach, since: datetime, *, least: int = 2, most: int = 5_000
    ) -> Sequence[Campaign]:
        """Near-duplicates among the newest ``most`` verdicts at ``since`` or later, the largest group first.

        Groups of fewer than ``least`` messages are left out.
        """
        ...

    async def traffic(self, reach: Reach, since: datetime, until: datetime) -> Sequence[HourCount]:
        """Verdicts for recipients within reach received at ``since`` or later and before ``until``, in any order."""
        ...


class Bin(Protocol):
    """Deleted messages, as long as their bodies are kept (``store.deleted_retention_days``)."""

    async def restore(self, id: MessageId, by: str, reach: Reach) -> None:
        """Put it back into the quarantine, audited.

        Raises NotFound where it is out of reach or its body is gone, UsageError where it is not deleted, and
        StoreUnavailable.
        """
        ...

    async def deleted_by(self, by: str, since: datetime, until: datetime) -> Sequence[MessageId]:
        """What ``by`` deleted at ``since`` or later and before ``until`` and can be put back.

        Raises StoreUnavailable.
        """
        ...


class MailReader(Protocol):
    """Reads mail for people, outside the event loop."""

    async def read_mail(self, raw: bytes) -> MailView:
        """What people see of ``raw``.

        Raises Unscannable if it broke a limit, ScanDown if nothing can be read, Overloaded if too much waits.
        """
        ...

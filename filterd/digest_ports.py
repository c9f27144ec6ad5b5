"""What digests need from the outside: how far people have been told, and the links they were sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Protocol

from filterd.account_ports import Account
from filterd.core.digest import Verb
from filterd.core.envelope import MessageId
from filterd.ports import HeldSummary

TICKET_DAYS = 30
"""Days a ticket is kept after it has expired, so that whoever comes late is told so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestClaim:
    """The right to send somebody the digest of one slot."""

    account: str
    slot: datetime
    """It tells of what was held before."""
    told_until: datetime | None
    """The slot of the one before; None where there was none."""


class Digests(Protocol):
    """How far people have been told. Every method raises StoreUnavailable."""

    async def claim_digest(self, account: str, slot: datetime, lease_seconds: float) -> DigestClaim | None:
        """The claim, for so long; None where it was sent, somebody else is at it, or there is no such account."""
        ...

    async def finish_digest(self, account: str, slot: datetime) -> None:
        """They have been told until ``slot``."""
        ...

    async def put_off_digest(self, account: str, delay_seconds: float) -> None:
        """Let nobody claim it before the delay is over."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A link of a digest: it lets whoever has it do one thing to one message, once."""

    account: str
    """In whose name, and within whose reach."""
    held: MessageId
    verb: Verb
    expires_at: datetime
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestItem:
    """One held message of a digest."""

    held: HeldSummary
    threshold: float | None
    """The probability that it is held from, [0, 1], where that decided."""
    secrets: Mapping[Verb, str]
    """What can be done with it, and the secret of the link that does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What somebody is told."""

    account: Account
    slot: datetime
    zone: tzinfo
    """Theirs."""
    items: Sequence[DigestItem]
    """The newest first."""
    count: int
    """Messages that are new, those without room in ``items`` included."""
    link_days: int


class Composer(Protocol):
    """Makes the mail of a digest."""

    def __call__(self, digest: Digest) -> tuple[str, bytes]:
        """Its Message-ID, the same for one account and slot, and the mail. Raises UsageError for no mail address."""
        ...


class Tickets(Protocol):
    """Links of digests; only the SHA-256 of a secret is stored. Every method raises StoreUnavailable."""

    async def add_tickets(self, tickets: Mapping[str, Ticket]) -> None:
        """Write them down by the SHA-256 of their secrets, none of an account that is gone."""
        ...

    async def find_ticket(self, secret_sha256: str) -> Ticket | None:
        """The ticket with that secret, used and expired or not."""
        ...

    async def use_ticket(self, secret_sha256: str) -> bool:
        """Mark it used; whether it was neither used nor expired until now: true for one caller only."""
        ...

    async def reopen_ticket(self, secret_sha256: str) -> None:
        """What it was used for could not be done: it can be used again."""
        ...

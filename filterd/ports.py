"""What the pipeline and the edges need from the outside, as protocols.

Adapters implement them; ``filterd.testing`` has fakes that pass the same contract tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from filterd.core.access import EVERYBODY, Reach
from filterd.core.envelope import Channel, Envelope, MessageId, Recipient
from filterd.core.smtp_reply import Offers
from filterd.core.verdict import Action, Decision, Evidence, Reason, Reply, Scan, Verdict
from filterd.errors import RelayAmbiguous


class Clock(Protocol):
    """Time, injected so that tests own it."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...


class Pause(Protocol):
    """Between two looks at what others may have changed."""

    async def __call__(self) -> None:
        """Until there may be something new to see."""
        ...


class Scanner(Protocol):
    """Scores one message outside the event loop."""

    async def scan(self, envelope: Envelope, raw: bytes) -> Scan:
        """Everything found in ``raw``.

        Raises Unscannable if this message broke a limit, ScanDown if nothing can be scored, Overloaded if the
        queue in front of the scanners is full.
        """
        ...


class Relay(Protocol):
    """Hands a message on."""

    async def send(self, envelope: Envelope, raw: bytes) -> Reply:
        """The next hop's own reply to the end of data, whatever its code.

        Raises RelayUnavailable when it cannot be reached or closes before the final dot, and RelayAmbiguous when
        it falls silent after it.
        """
        ...


class MailTransaction(Relay, Protocol):
    """One mail transaction with the next hop, opened while the sender still speaks."""

    async def rcpt(self, recipient: Recipient) -> Reply:
        """The next hop's reply to this recipient, or to MAIL where it refused that.

        Raises RelayUnavailable.
        """
        ...

    async def send_each(self, envelope: Envelope, raw: bytes) -> Sequence[Reply | RelayAmbiguous]:
        """The next hop's reply for each recipient, in their order; it may take the message for some only.

        Of a next hop that falls silent after the final dot, a RelayAmbiguous for those it had not answered for.
        Raises RelayUnavailable where none has it.
        """
        ...

    def abort(self) -> None:
        """End it without a message; no effect after ``send``."""
        ...


class NextHop(Relay, Protocol):
    """The mail server that accepted mail is handed to."""

    def open(self, envelope: Envelope) -> MailTransaction:
        """A transaction for the sender of ``envelope``; its recipients are given one by one."""
        ...

    async def offers(self) -> Offers | None:
        """The service extensions it offers, as last seen; None while it was never reached."""
        ...


class HeldState(StrEnum):
    """Where a held message is in its life."""

    PENDING = "pending"
    """Stored, but the sender has not been told 250 yet: other recipients are still being delivered to."""
    HELD = "held"
    RELEASING = "releasing"
    """Claimed for release until the lease ends."""
    RELEASED = "released"
    DELETED = "deleted"
    ABORTED = "aborted"
    """The sender was not told 250 and keeps the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSummary:
    """One row of the quarantine list."""

    id: MessageId
    channel: Channel
    state: HeldState
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    subject: str
    """First 200 characters, decoded leniently; for an SMS, empty."""
    size_bytes: int
    action: Action
    reason: Reason
    detail: str
    probability: float | None
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldMessage:
    """A held message with its body."""

    summary: HeldSummary
    envelope: Envelope
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRow:
    """A stored verdict as operators see it. A message with several decisions has several rows."""

    id: MessageId
    channel: Channel
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    peer: str
    size_bytes: int
    action: Action
    reason: Reason
    detail: str
    outcome: str
    reply_code: int
    probability: float | None
    logit: float | None
    threshold: float | None
    model: str
    fingerprint: str
    elapsed_seconds: float
    policy: str = ""
    """Version of the policy that decided."""
    correction: float = 0.0
    """What labels added to the logit, log-odds."""
    reports: tuple[int, ...] = ()
    """Numbers of the reports that decided."""
    evidence: tuple[Evidence, ...] = ()
    signals: tuple[str, ...] = ()
    script: str = ""
    """What it is mostly written in, a ``Script``; empty where it was not scored."""
    is_audit: bool = False
    """Drawn at random to be labelled."""


class VerdictStore(Protocol):
    """What the pipeline writes."""

    async def record(self, *verdicts: Verdict) -> None:
        """Store them all or none; upsert on message id and recipients, group commit. Raises StoreUnavailable."""
        ...

    async def hold(
        self,
        envelope: Envelope,
        raw: bytes,
        decision: Decision,
        *,
        pending: bool = False,
        policy: str = "",
        is_audit: bool = False,
    ) -> None:
        """Body and verdict row in one transaction, durable on return. ``policy`` and ``is_audit``: see ``Verdict``.

        The key is sha256 of envelope, content and day, so that a sender's retry updates instead of duplicating.
        Raises StoreUnavailable or StoreFull.
        """
        ...

    async def settle(self, id: MessageId, state: HeldState) -> None:
        """Turn a pending message into held or aborted. Raises StoreUnavailable."""
        ...


class Quarantine(Protocol):
    """What people do with held messages.

    Within a ``reach`` a message is there for its recipients within it only: it is shown without the others, and who
    releases or deletes it splits it in two, of which the others' part stays as it was.
    """

    async def list_held(
        self, *, limit: int = 50, before: MessageId | None = None, channel: Channel | None = None, query: str = ""
    ) -> Sequence[HeldSummary]:
        """Held messages, newest first; ``query`` is a part of sender, recipient or subject."""
        ...

    async def held(self, id: MessageId, reach: Reach = EVERYBODY) -> HeldMessage:
        """Raises NotFound, also for a message that is out of reach."""
        ...

    async def claim_release(
        self, id: MessageId, by: str, lease_seconds: float, reach: Reach = EVERYBODY
    ) -> HeldMessage:
        """Move held to releasing; what is split off has an id of its own.

        Raises NotFound, or UsageError if it is not held (or claimed by someone else).
        """
        ...

    async def finish_release(self, id: MessageId, by: str, *, delivered: bool) -> None:
        """Move releasing to released, or back to held."""
        ...

    async def delete_held(self, id: MessageId, by: str, reach: Reach = EVERYBODY) -> None:
        """Drop the body and keep the audit row. Raises NotFound, or UsageError if it is already gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsPart:
    """One webhook delivery as received: a whole message or one part of it."""

    provider: str
    provider_id: str
    """The provider's message id: unique per provider."""
    sender: str
    recipient: str
    text: str
    received_at: datetime
    payload: bytes
    """The raw request body, forwarded unchanged where the provider's signature allows it."""
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    """Request headers that are forwarded with it, lower-case names."""
    query: str = ""
    """Raw query string."""
    reference: str = ""
    """Groups the parts of one long message; empty for a message in one part."""
    part: int = 1
    parts: int = 1


class Arrival(StrEnum):
    """What the inbox made of a delivery."""

    COMPLETE = "complete"
    """A whole message, or the part that completed one."""
    PARTIAL = "partial"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsMessage:
    """A whole SMS in the durable inbox: its parts in order."""

    id: MessageId
    parts: tuple[SmsPart, ...]

    @property
    def text(self) -> str:
        """The joined text."""
        return "".join(p.text for p in self.parts)


class SmsInbox(Protocol):
    """The durable inbox and outbox of SMS: custody is ours from the commit of ``receive`` on."""

    async def receive(self, part: SmsPart, id: MessageId) -> tuple[Arrival, SmsMessage | None]:
        """Store the part, durable on return. Unique on (provider, provider_id).

        Returns the whole message with COMPLETE, and with DUPLICATE where it has not been decided yet.
        Raises StoreUnavailable or StoreFull.
        """
        ...

    async def decided(self, id: MessageId, *, forward: bool) -> None:
        """Mark judged: queue it for forwarding, or be done with it."""
        ...

    async def claim_work(self, *, limit: int, lease_seconds: float) -> Sequence[tuple[SmsMessage, bool]]:
        """Messages whose next step is due, leased: (message, True) to forward, (message, False) still to judge.

        A partial message older than its reassembly time counts as whole.
        """
        ...

    async def forwarded(self, id: MessageId) -> None:
        """Delivered to the customer's URL."""
        ...

    async def retry_later(self, id: MessageId, delay_seconds: float) -> None:
        """Not delivered; due again after the delay."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardRequest:
    """One HTTP call of a customer's URL."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Forwarder(Protocol):
    """Calls a customer's URL."""

    async def forward(self, request: ForwardRequest) -> None:
        """Returns once the URL answered 2xx. Raises RelayUnavailable for anything else; never follows a redirect."""
        ...


class Upkeep(Protocol):
    """What keeps the store tidy."""

    async def reap(self) -> int:
        """Pending messages older than an hour become held (``ack-unknown``), ended leases too, aborted ones go.

        Returns how many rows changed.
        """
        ...

    async def purge(self, now: datetime) -> Mapping[str, int]:
        """Delete what is past its declared days; rows per table."""
        ...

    async def erase(self, address: str, by: str) -> Mapping[str, int]:
        """Delete what names ``address`` as sender or recipient; rows per table. Raises UsageError if it is empty."""
        ...

    async def count_held(self) -> int:
        """Messages in the quarantine."""
        ...

    async def ping(self) -> None:
        """Raises StoreUnavailable when the database does not answer."""
        ...

    def check_room(self) -> None:
        """Raises StoreFull when there is less free disk space than ``store.min_free_bytes``."""
        ...

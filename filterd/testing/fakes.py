"""A clock, a scanner and a relay that do as they are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from filterd.core.envelope import Channel, Envelope, MessageId, Peer, Recipient
from filterd.core.limits import ParseLimits
from filterd.core.mail_view import MailView, view
from filterd.core.signed import Signed
from filterd.core.verdict import Reply, Scan

POINTS = MappingProxyType({"lenient": 0.9, "normal": 0.6, "strict": 0.3})
"""Operating points of the scans made here."""


class FixedClock:
    """A clock that moves only when told to."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._seconds = 0.0

    def now(self) -> datetime:
        """Aware UTC."""
        return self._start + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        """Seconds since the start."""
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._seconds += seconds


def an_envelope(
    sender: str = "alice@example.org",
    *recipients: str,
    id: str = "0" * 31 + "1",
    channel: Channel = Channel.EMAIL,
    peer: str = "192.0.2.1",
) -> Envelope:
    """An envelope with sensible values; recipients default to one."""
    return Envelope(
        id=MessageId(id),
        channel=channel,
        sender=sender,
        recipients=tuple(Recipient(address=r) for r in recipients or ("bob@example.net",)),
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        peer=Peer(address=peer),
    )


def a_scan(probability: float = 0.01, author: str = "") -> Scan:
    """A scan with ``probability`` and the operating points of ``POINTS``."""
    return Scan(probability=probability, logit=0.0, model="test-model", points=POINTS, author=author)


class FakeScanner:
    """Spam where the body holds ``marker``; raises ``failure`` instead, while it is set."""

    def __init__(self, marker: bytes = b"SPAM", failure: Exception | None = None) -> None:
        self.marker = marker
        self.failure = failure
        self.fingerprint = ""
        self.signatures: tuple[Signed, ...] = ()
        self.seen: list[MessageId] = []

    async def scan(self, envelope: Envelope, raw: bytes) -> Scan:
        """A scan of probability 0.99 or 0.01."""
        self.seen.append(envelope.id)
        if self.failure is not None:
            raise self.failure
        scan = a_scan(0.99 if self.marker in raw else 0.01)
        return replace(scan, fingerprint=self.fingerprint, signatures=self.signatures)

    async def read_mail(self, raw: bytes) -> MailView:
        """What people see of ``raw``."""
        if self.failure is not None:
            raise self.failure
        return view(raw, ParseLimits())


class RecordingRelay:
    """Keeps what it is given; answers with ``reply``, or raises it where it is an exception."""

    def __init__(self, reply: Reply | Exception | Callable[[Envelope], Reply] | None = None) -> None:
        self.reply = reply or Reply(code=250, enhanced="2.0.0", lines=("Ok: queued",))
        self.sent: list[tuple[Envelope, bytes]] = []

    async def send(self, envelope: Envelope, raw: bytes) -> Reply:
        """The set reply."""
        if isinstance(self.reply, Exception):
            raise self.reply
        reply = self.reply(envelope) if callable(self.reply) else self.reply
        if reply.is_positive:
            self.sent.append((envelope, raw))
        return reply

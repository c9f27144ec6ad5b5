"""What was found, what was decided and what happened to one message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from filterd.core.bundle import Calibration
from filterd.core.envelope import Channel, Envelope, MessageId
from filterd.core.signed import Signed


class Action(StrEnum):
    """What to do with a message."""

    ACCEPT = "accept"
    TAG = "tag"
    QUARANTINE = "quarantine"
    REJECT = "reject"
    DEFER = "defer"


class Reason(StrEnum):
    """Why: one word, the same in header, log, metric, row and docs/glossary.md."""

    HAM = "ham"
    """The probability is below every threshold."""
    SPAM = "spam"
    """The probability reached the threshold of the action."""
    ALLOWED = "allowed"
    """An allow list names the sender."""
    DENIED = "denied"
    """A deny list names the sender."""
    REPORTED = "reported"
    """People reported a near-identical message."""
    UNSCANNABLE = "unscannable"
    """This message broke a limit or a scanner."""
    SCAN_DOWN = "scan_down"
    """No scanner could score anything."""
    RELEASED = "released"
    """A person released it from quarantine; it passes once more without a scan."""


class ScanFailure(StrEnum):
    """Why there is no probability."""

    UNSCANNABLE = "unscannable"
    SCAN_DOWN = "scan_down"


class OutcomeKind(StrEnum):
    """What actually happened."""

    RELAYED = "relayed"
    HELD = "held"
    REFUSED = "refused"
    DEFERRED = "deferred"
    ADVISED = "advised"
    """A client asked what we think of it, was told, and does with it what it likes."""
    TAUGHT = "taught"
    """Nobody sent it: a person brought a message we had not seen, to say what it is."""


class Script(StrEnum):
    """What a message is mostly written in, as far as the model looks."""

    LATIN = "latin"
    CYRILLIC = "cyrillic"
    CJK = "cjk"
    OTHER = "other"


class Label(StrEnum):
    """Truth given by a corpus or a person."""

    HAM = "ham"
    SPAM = "spam"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One word (or other token) and how far it moved the logit; positive speaks for spam."""

    token: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What the scanner found in one message. Never holds text beyond the evidence words."""

    probability: float
    """Calibrated P(spam), [0, 1]."""
    logit: float
    """Raw model output, log-odds."""
    correction: float = 0.0
    """What people's labels add to it until the next model, log-odds; the probability has it in."""
    model: str
    """Bundle id."""
    points: Mapping[str, float]
    """Operating points of that bundle: name -> probability at which it starts to act."""
    author: str = ""
    """Address in the visible From header, lower case; empty when absent or ambiguous."""
    evidence: tuple[Evidence, ...] = ()
    signals: tuple[str, ...] = ()
    """Names of structural facts (``hidden_text``, ``duplicate_boundary`` ...), sorted."""
    fingerprint: str = ""
    """Hash of the folded text that survives small changes, hex."""
    calibration: Calibration = Calibration()  # noqa: RUF009  # frozen
    """From logit to probability."""
    tokens: bytes = b""
    """What the model read (``core.token_codec``), where that is kept; empty else."""
    hashing: str = ""
    """``hashing_key`` of those tokens."""
    script: Script = Script.LATIN
    signatures: tuple[Signed, ...] = ()
    """Those whose keys are still to be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Pure result of policy for one group of recipients."""

    action: Action
    reason: Reason
    detail: str = ""
    """The deciding list entry, threshold name or limit; never message text."""
    threshold: float | None = None
    """The probability the action starts at, [0, 1], where a threshold decided."""
    scan: Scan | None = None
    subject_tag: str = ""
    """Put in front of the subject when the action is tag; empty leaves it alone."""
    reports: tuple[int, ...] = ()
    """Numbers of the reports on near-duplicates that decided, ascending; empty where others did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply in SMTP terms (RFC 5321 section 4.2); webhooks translate it to HTTP."""

    code: int
    enhanced: str = ""
    """Enhanced status code (RFC 3463), empty where none applies."""
    lines: tuple[str, ...] = ("",)
    """Printable text, one entry per line, without codes."""

    @property
    def is_positive(self) -> bool:
        """Whether the command was carried out (2yz)."""
        return 200 <= self.code < 300

    @property
    def is_permanent(self) -> bool:
        """Whether trying again cannot help (5yz)."""
        return 500 <= self.code < 600

    def render(self) -> str:
        """Wire form without the final CRLF: ``250-2.0.0 first`` CRLF ``250 2.0.0 last``."""
        text = [f"{self.enhanced} {line}".strip() for line in self.lines]
        head = [f"{self.code}-{line}" for line in text[:-1]]
        return "\r\n".join([*head, f"{self.code} {text[-1]}".rstrip()])


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened to one group of recipients, and what the sender is told."""

    kind: OutcomeKind
    reply: Reply
    ambiguous: bool = False
    """The next hop fell silent after the final dot: it may have the message too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Decision, outcome, ids, model and time of one message: the stored record."""

    id: MessageId
    channel: Channel
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    peer: str
    """IP address of the client, or the SMS provider's name."""
    size_bytes: int
    decision: Decision
    outcome: Outcome
    elapsed_seconds: float
    timings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Seconds per stage: scan, relay, hold."""
    policy: str = ""
    """Version of the policy that decided: 12 hex digits."""
    is_audit: bool = False
    """Drawn at random to be labelled, whatever was decided."""
    queue_id: str = ""
    """The mail server's own name for the message, where it said one; logged, not stored."""

    @classmethod
    def of(
        cls,
        envelope: Envelope,
        size_bytes: int,
        decision: Decision,
        outcome: Outcome,
        timings: Mapping[str, float],
        policy: str = "",
        *,
        is_audit: bool = False,
    ) -> Verdict:
        """The record of ``envelope``; ``timings["total"]`` is the elapsed time in seconds."""
        return cls(
            id=envelope.id,
            channel=envelope.channel,
            received_at=envelope.received_at,
            sender=envelope.sender,
            recipients=tuple(r.address for r in envelope.recipients),
            peer=envelope.peer.address or envelope.peer.protocol,
            size_bytes=size_bytes,
            decision=decision,
            outcome=outcome,
            elapsed_seconds=timings.get("total", 0.0),
            timings=timings,
            policy=policy,
            is_audit=is_audit,
            queue_id=envelope.queue_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """A person's label on a past verdict: an event in a ledger, revocable, never edited."""

    message_id: MessageId
    label: Label
    reporter: str
    """Who says so: token name, login or ``cli``."""
    given_at: datetime
    origin: str = "api"
    """Where it came from: api, cli, web, mail, spool, release, import."""
    recipient: str = ""
    """The recipient who says so, whose mail it then speaks for first; empty means all recipients of the message."""
    is_for_all: bool = False
    """Said by an administrator: it counts for every recipient at once."""

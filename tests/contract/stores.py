"""What the contract tests of the store have in common: all its ports, and things to store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from filterd.account_ports import People, TokenStore
from filterd.core.envelope import Channel, Envelope, MessageId
from filterd.core.verdict import (
    Action,
    Decision,
    Feedback,
    Label,
    Outcome,
    OutcomeKind,
    Reason,
    Reply,
    Verdict,
)
from filterd.deed_ports import Deeds
from filterd.digest_ports import Digests, Tickets
from filterd.feedback_ports import Backgrounds, ExampleLedger, Examples, FeedbackLedger, LabelledInputs, Past, Reports
from filterd.model_ports import AuditTrail, Disagreements, SharedModels, TrackRecords
from filterd.ports import Quarantine, SmsInbox, Upkeep, VerdictStore
from filterd.quality_ports import Calibrations, Questions, Tallies
from filterd.review_ports import Bin, Review
from filterd.rule_ports import RuleBook
from filterd.store.retention import Retention
from filterd.testing import a_scan, an_envelope

RAW = b"Subject: hello\r\nFrom: alice@example.org\r\n\r\nSPAM\r\n\x00\xff end\r\n"
HOLD = Decision(action=Action.QUARANTINE, reason=Reason.SPAM, detail="lenient", threshold=0.9, scan=a_scan(0.97))
RELAYED = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250, enhanced="2.0.0", lines=("Ok",)))
PATIENCE_SECONDS = 60.0
"""What a write may take here: the disk of a machine that runs all tests at once has been seen to stand for five."""
KEEP = Retention(verdict_days=30, quarantine_days=30, feedback_days=30, sms_days=30)


class Quality(Calibrations, Tallies, Questions, Protocol):
    """All ports about quality."""


class Mail(Digests, Tickets, Protocol):
    """All ports about digests."""


class Store(
    VerdictStore,
    Quarantine,
    FeedbackLedger,
    ExampleLedger,
    LabelledInputs,
    Backgrounds,
    Past,
    Examples,
    Disagreements,
    TrackRecords,
    AuditTrail,
    Reports,
    SmsInbox,
    TokenStore,
    Upkeep,
    Protocol,
):
    """All ports of the store."""

    @property
    def quality(self) -> Quality: ...

    @property
    def accounts(self) -> People: ...

    @property
    def rules(self) -> RuleBook: ...

    @property
    def bin(self) -> Bin: ...

    @property
    def digests(self) -> Mail: ...

    @property
    def review(self) -> Review: ...

    @property
    def deeds(self) -> Deeds: ...

    @property
    def models(self) -> SharedModels: ...


def nth(n: int) -> MessageId:
    return MessageId(f"{n << 80:032x}")


def envelope(n: int, sender: str = "alice@example.org", *recipients: str) -> Envelope:
    return an_envelope(sender, *recipients, id=nth(n))


def sms_envelope(n: int) -> Envelope:
    return an_envelope("+15550001", "+15550002", id=nth(n), channel=Channel.SMS)


def verdict(message: Envelope, decision: Decision = HOLD, outcome: Outcome = RELAYED) -> Verdict:
    return Verdict.of(message, 100, decision, outcome, {"total": 0.25})


def label(n: int, label: Label = Label.SPAM, reporter: str = "ann") -> Feedback:
    return Feedback(message_id=nth(n), label=label, reporter=reporter, given_at=datetime(2026, 1, 1, tzinfo=UTC))

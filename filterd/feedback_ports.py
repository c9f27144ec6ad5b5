"""What people's labels need from the outside: the ledger they stand in, and the memory that is read from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from filterd.core.envelope import Channel, MessageId
from filterd.core.report_mail import ReportMail
from filterd.core.reported import Report
from filterd.core.verdict import Action, Feedback, Label, Scan
from filterd.ports import VerdictRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Which standing labels are meant: those that fit everything that is given."""

    message: MessageId | None = None
    reporter: str = ""
    sender_domain: str = ""
    """Domain of the envelope sender of the message, or a domain above it."""
    campaign: MessageId | None = None
    """A message; labels on it and on its near-duplicates."""
    since: datetime | None = None
    until: datetime | None = None
    """Given at ``since`` or later, and before ``until``."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is given: every label would be meant."""
        return self == Labels()


class FeedbackLedger(Protocol):
    """People's labels: appended, revocable, never edited."""

    async def add_feedback(self, feedback: Feedback) -> bool:
        """Whether it was new (idempotent per reporter, message and label). Raises NotFound for an unknown id."""
        ...

    async def revoke(self, labels: Labels, by: str, *, is_rehearsal: bool = False) -> Sequence[int]:
        """Revoke the standing labels that are meant; their numbers, also of a rehearsal, which changes nothing.

        Raises UsageError where nothing is given, and NotFound for a campaign of an unknown message.
        """
        ...

    async def verdicts(self, id: MessageId) -> Sequence[VerdictRow]:
        """Raises NotFound."""
        ...

    async def recent(self, *, limit: int = 50, channel: Channel | None = None) -> Sequence[VerdictRow]:
        """The latest verdicts, newest first."""
        ...


class ExampleLedger(Protocol):
    """Labels on mail that never passed: it was kept elsewhere, and is learned from."""

    async def add_example(self, feedback: Feedback, scan: Scan, sender: str) -> bool:
        """Whether it was new, as ``FeedbackLedger.add_feedback``; what the model read of it is kept with it.

        It speaks first for ``feedback.recipient``, and for nobody where that is empty. There is no verdict on it, and
        no bundle that judged it.
        Raises StoreUnavailable.
        """
        ...


class ReportReader(Protocol):
    """Reads reports that come as mail, outside the event loop."""

    async def read_report(self, raw: bytes) -> ReportMail:
        """Which messages ``raw`` reports.

        Raises Unscannable if it broke a limit, ScanDown if nothing can be read, Overloaded if too much waits.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportChange:
    """A label in the ledger as it is now."""

    report: Report
    changed_at: datetime
    is_standing: bool
    """False once it was revoked or has retired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledInput:
    """A standing label on a message, and what the model read of it."""

    id: int
    """Number of the label in the ledger."""
    message: MessageId
    channel: Channel
    label: Label
    reporter: str
    given_at: datetime
    sender: str
    """Key of the envelope sender."""
    recipients: tuple[str, ...]
    """Keys of those the label speaks for first."""
    fingerprint: str
    is_for_all: bool
    model: str
    """The bundle that had judged the message."""
    logit: float | None
    """What that bundle gave it; None once the verdict is gone."""
    hashing: str
    tokens: bytes
    """See ``core.token_codec``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptInput:
    """What the model read of one message."""

    channel: Channel
    hashing: str
    tokens: bytes
    """See ``core.token_codec``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """A label on a message whose text was like another's."""

    message: MessageId
    report: Report
    distance: int
    """Bits in which the fingerprints differ, [0, 256]; texts without a word in common are at 128 +/- 8."""


class Examples(Protocol):
    """What a verdict is explained by, beside itself."""

    async def kept_input(self, id: MessageId) -> KeptInput | None:
        """None where it was not kept, or no longer is. Raises StoreUnavailable."""
        ...

    async def similar(self, channel: Channel, fingerprint: str, *, most: int = 3) -> Sequence[Similar]:
        """Standing labels on the most similar messages, the nearest first; none that is hardly nearer than chance.

        Raises StoreUnavailable.
        """
        ...


class LabelledInputs(Protocol):
    """Labels with what can be learned from."""

    async def labelled_inputs(
        self, channel: Channel, *, model: str | None = None, after: int = 0, most: int = 10_000
    ) -> Sequence[LabelledInput]:
        """Standing labels beyond number ``after`` on messages whose input is kept, ascending.

        With ``model``, only on messages that this bundle had judged. Raises StoreUnavailable.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PastMessage:
    """A judged message that can be scored again."""

    id: MessageId
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    """Of the first of its verdicts."""
    action: Action
    probability: float | None
    """What it was given at the time."""
    label: Label | None
    """The latest standing label."""
    hashing: str
    tokens: bytes
    """See ``core.token_codec``."""


class Past(Protocol):
    """Messages of the recent past."""

    async def past(
        self, channel: Channel, *, since: datetime, after: MessageId | None = None, most: int = 1_000
    ) -> Sequence[PastMessage]:
        """Messages received at ``since`` or later whose input is kept, by id beyond ``after``.

        Raises StoreUnavailable.
        """
        ...


class Backgrounds(Protocol):
    """What unreported messages look like."""

    async def background(self, channel: Channel, *, most: int) -> Sequence[bytes]:
        """What the model read of the latest messages without a label (``core.token_codec``), the newest first.

        Raises StoreUnavailable.
        """
        ...


class Reports(Protocol):
    """The part of the feedback ledger that near-duplicates are recognised by."""

    async def report_changes(self, since: datetime | None, *, most: int) -> Sequence[ReportChange]:
        """Labels that changed at ``since`` or later, or all that stand; the newest ``most``, oldest change first.

        Raises StoreUnavailable.
        """
        ...

    async def retire(self, ids: Sequence[int]) -> None:
        """Let these labels act no longer on near-duplicates; they stand all the same. Raises StoreUnavailable."""
        ...


class Correction(Protocol):
    """What labels change about the model's number before the next model is there."""

    def correct(self, channel: Channel, scan: Scan, recipient: str) -> Scan:
        """``scan`` with the logit and probability that hold for mail to ``recipient``; itself where nothing changes."""
        ...


class ReportMemory(Protocol):
    """Reports on near-duplicates, at hand."""

    def find(self, channel: Channel, fingerprint: str) -> Sequence[Report]:
        """Reports on messages whose text was nearly the same; none for an empty fingerprint."""
        ...

    def note_agreement(self, reports: Sequence[Report], label: Label, model: str) -> None:
        """The model by itself gave ``label`` to a near-duplicate of ``reports``."""
        ...

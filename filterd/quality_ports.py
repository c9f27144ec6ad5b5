"""What is known about how well the filter does, and what a site changes of it: what the store keeps for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from filterd.core.bundle import Calibration
from filterd.core.envelope import Channel, MessageId
from filterd.core.questions import Candidate
from filterd.core.site_calibration import LabelledLogit
from filterd.core.verdict import Action, Label


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteCalibration:
    """A calibration of this site, behind the one that a bundle brings."""

    channel: Channel
    model: str
    """The only bundle it holds for."""
    calibration: Calibration
    labels: int
    """How many it was fitted to."""
    set_at: datetime
    set_by: str


class Calibrations(Protocol):
    """The calibrations of this site, one per bundle at most."""

    async def calibrations(self) -> Sequence[SiteCalibration]:
        """All of them. Raises StoreUnavailable."""
        ...

    async def set_calibration(self, new: SiteCalibration) -> None:
        """Put it in the place of the one before, audited. Raises StoreUnavailable."""
        ...

    async def drop_calibration(self, channel: Channel, model: str, by: str) -> bool:
        """Whether there was one; audited. Raises StoreUnavailable."""
        ...

    async def labelled_logits(self, channel: Channel, model: str, *, most: int) -> Sequence[LabelledLogit]:
        """Standing labels on messages that this bundle judged, the newest first. Raises StoreUnavailable."""
        ...

    async def spam_share(self, channel: Channel, model: str, *, most: int) -> float | None:
        """Mean probability of the latest messages of this bundle, [0, 1]; None without any. Raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many messages were alike."""

    channel: Channel
    model: str
    """Empty where nothing scored them."""
    action: Action
    script: str
    """A ``Script``, or empty where it is not known."""
    score: int
    """How many of ``core.quality.SCORE_EDGES`` the probability reached; -1 without one."""
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledVerdict:
    """A message with the latest label that stands on it."""

    message: MessageId
    channel: Channel
    received_at: datetime
    model: str
    action: Action
    probability: float | None
    label: Label
    is_audit: bool


class Tallies(Protocol):
    """What the quality of the filter is estimated from. None of these reads many rows, however many there are."""

    async def tally(self, since: datetime, until: datetime, *, most: int) -> Sequence[Tally]:
        """The first ``most`` messages received at ``since`` or later and before ``until``. Raises StoreUnavailable."""
        ...

    async def model_at(self, channel: Channel, moment: datetime) -> tuple[str, datetime] | None:
        """The model that judged first at ``moment`` or later, and when; None where the channel is not found soon.

        Raises StoreUnavailable.
        """
        ...

    async def labelled_since(self, since: datetime, *, most: int) -> Sequence[LabelledVerdict]:
        """Messages received at ``since`` or later that are labelled, the latest labels first.

        Raises StoreUnavailable.
        """
        ...

    async def audits_waiting(self, since: datetime) -> Mapping[Channel, int]:
        """Messages of the audit received at ``since`` or later that have no label. Raises StoreUnavailable."""
        ...

    async def newest_labels(self) -> Mapping[Channel, datetime]:
        """When the latest label that stands was given. Raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlabelled:
    """What questions are chosen from."""

    candidates: Sequence[Candidate]
    """Messages without a label that reached a recipient or the quarantine, the newest first."""
    known: Sequence[str]
    """Fingerprints of messages that are labelled, the latest labels first."""


class Questions(Protocol):
    """What people could be asked about."""

    async def unlabelled(self, since: datetime, *, most: int) -> Unlabelled:
        """The latest ``most`` messages received at ``since`` or later, and as many of the audit.

        Raises StoreUnavailable.
        """
        ...

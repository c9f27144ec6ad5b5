"""What changing the model needs from the outside: trials, what they found, and how bundles fared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from filterd.core.alarm import Record
from filterd.core.envelope import Channel, MessageId


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A candidate that is tried on live messages."""

    id: str
    """Its bundle id."""
    share: float
    """Part of the recipients whose messages it scores too, (0, 1]."""
    decides: bool = False
    """Whether its number counts for them (a canary); else it is only compared (shadow)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPointer:
    """Which bundle serves a channel on every host of one database."""

    number: int
    """Counts changes, from 1; 0 where there has been none."""
    id: str
    """Empty where the bundle in the package serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A message that candidate and incumbent would treat differently."""

    message: MessageId
    channel: Channel
    candidate: str
    candidate_probability: float
    incumbent: str
    incumbent_probability: float
    seen_at: datetime


class Disagreements(Protocol):
    """What shadow traffic found."""

    async def record_disagreement(self, found: Disagreement) -> None:
        """Once per message and candidate. Raises StoreUnavailable."""
        ...

    async def disagreements(self, channel: Channel, candidate: str, *, limit: int = 50) -> Sequence[Disagreement]:
        """The latest first. Raises StoreUnavailable."""
        ...


class TrackRecords(Protocol):
    """How bundles fared with people."""

    async def fared(self, channel: Channel, since: datetime) -> Mapping[str, Record]:
        """By bundle id, what people said of its verdicts since a moment. Raises StoreUnavailable."""
        ...


class AuditTrail(Protocol):
    """Who did what."""

    async def note(self, event: str, target: str, by: str, note: str = "") -> None:
        """Write it down, durable on return. Raises StoreUnavailable."""
        ...


class Withdrawals(Protocol):
    """Bundles whose promotion can be taken back."""

    def list(self, channel: Channel) -> Sequence[str]:
        """Ids of the published bundles, oldest first."""
        ...

    def withdraw(self, channel: Channel, id: str) -> str:
        """Take the promotion of a bundle back; the id of the one that serves then. Raises NotFound and BundleError."""
        ...

    def taught(self, labels: Iterable[int]) -> Sequence[str]:
        """Ids of the bundles that were trained on any of these labels."""
        ...


class SharedModels(Protocol):
    """Which bundles serve on every host, and their files."""

    async def pointers(self) -> Mapping[Channel, SharedPointer]:
        """Of each channel that has one. Raises StoreUnavailable."""
        ...

    async def files(self, channel: Channel, id: str) -> Mapping[str, bytes]:
        """A bundle's files by name; empty where it is not kept. Raises StoreUnavailable."""
        ...

    async def point(self, channel: Channel, new: SharedPointer, files: Mapping[str, bytes], by: str) -> bool:
        """Move the pointer on by one, and keep the bundle's files with those of the one before.

        False where another host moved it meanwhile: then nothing has changed. Raises StoreUnavailable.
        """
        ...

"""The recent past once more: what another bundle would have done with the messages a gateway has judged.

Scores what the model read (``store.input_retention_days``), without a word of the messages, in order of time. Both
bundles are asked through the daemon's own code, and compared at one operating point each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filterd.core.bundle import BundleSpec
from filterd.core.envelope import MessageId
from filterd.core.message import ParseLimits
from filterd.core.token_codec import hashing_key, unpack
from filterd.core.verdict import Label
from filterd.errors import ContractMismatch, Unscannable
from filterd.feedback_ports import PastMessage
from filterd.inference.loaded import LoadedModel

DEFAULT_POINT = "normal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A message the candidate would treat otherwise."""

    id: MessageId
    received_at: datetime
    sender: str
    incumbent: float
    """Probability, [0, 1], by the bundle in service now."""
    candidate: float
    is_spam: bool
    """What the candidate calls it."""
    label: Label | None
    """What people say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of one run."""

    messages: int
    """Scored by both bundles."""
    unread: int
    """Kept by another version of the features, or damaged: not scored."""
    changes: tuple[Change, ...]
    """The surest of the candidate first: farthest beyond its threshold."""

    def lines(self) -> list[str]:
        """As a person reads it."""
        newly_held = sum(change.is_spam for change in self.changes)
        out = [
            f"{self.messages} messages; {newly_held} would be spam now, {len(self.changes) - newly_held} would be ham"
        ]
        if self.unread:
            out.append(f"{self.unread} more were read by another version and are not scored")
        for change in self.changes:
            said = f", people say {change.label}" if change.label else ""
            out.append(
                f"{change.id}  {change.received_at:%Y-%m-%d %H:%M}  {change.incumbent:.4f} -> {change.candidate:.4f}"
                f"  {'spam' if change.is_spam else 'ham'}{said}  {change.sender or '<>'}"
            )
        return out


def replay(
    past: Iterable[PastMessage],
    incumbent: Path,
    candidate: Path,
    *,
    point: str = DEFAULT_POINT,
    say: Callable[[int], None] = lambda _: None,
) -> Replay:
    """Score ``past`` with both bundles. ``say`` is told how many were scored. Raises BundleError."""
    before, after = (LoadedModel.open(folder, ParseLimits()) for folder in (incumbent, candidate))
    if hashing_key(before.spec.hashing) != hashing_key(after.spec.hashing):
        raise ContractMismatch("the two bundles read messages in different ways; what one read the other cannot")
    thresholds = _threshold(before.spec, point), _threshold(after.spec, point)
    changes, count, unread = [], 0, 0
    for message, one, other in _scored(past, before, after):
        if math.isnan(one):
            unread += 1
            continue
        count += 1
        say(count)
        is_spam = other >= thresholds[1]
        if is_spam is not (one >= thresholds[0]):
            change = Change(
                id=message.id,
                received_at=message.received_at,
                sender=message.sender,
                incumbent=one,
                candidate=other,
                is_spam=is_spam,
                label=message.label,
            )
            changes.append(change)
    changes.sort(key=lambda change: -abs(change.candidate - thresholds[1]))
    return Replay(messages=count, unread=unread, changes=tuple(changes))


def _scored(
    past: Iterable[PastMessage], before: LoadedModel, after: LoadedModel
) -> Iterator[tuple[PastMessage, float, float]]:
    """Each message with both probabilities; NaN where it cannot be scored."""
    key = hashing_key(before.spec.hashing)
    for message in past:
        one = other = math.nan
        if message.hashing == key:
            with suppress(ValueError, Unscannable):
                tokens = unpack(message.tokens, before.spec.hashing)
                one, other = (model.probability(model.score(tokens)) for model in (before, after))
        yield message, one, other


def _threshold(spec: BundleSpec, point: str) -> float:
    """Raises ContractMismatch for an operating point the bundle does not name."""
    if point not in spec.points:
        raise ContractMismatch(f"bundle {spec.id} names no operating point {point!r}")
    return spec.points[point]

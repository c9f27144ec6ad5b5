"""The recent past once more: what another bundle would have done with the messages a gateway has judged.

Scores what the model read (``store.input_retention_days``), without a word of the messages, in order of time. Both
bundles are asked through the daemon's own code, and compared at one operating point each.
"""

from __future__ import annotations

import math
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
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
_CHUNK = 2_000
"""Messages a process scores before it opens the bundles again, which takes as long as a hundred of them."""


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


class Replayer:
    """Asks two bundles."""

    def __init__(self, incumbent: LoadedModel, candidate: LoadedModel, point: str = DEFAULT_POINT) -> None:
        """Raises ContractMismatch where they read messages in different ways, or one does not name ``point``."""
        if hashing_key(incumbent.spec.hashing) != hashing_key(candidate.spec.hashing):
            raise ContractMismatch("the two bundles read messages in different ways; what one read the other cannot")
        self._models = incumbent, candidate
        self._thresholds = _threshold(incumbent.spec, point), _threshold(candidate.spec, point)

    def __call__(self, past: Iterable[PastMessage]) -> Replay:
        """Score ``past`` with both."""
        changes, count, unread = [], 0, 0
        for message, one, other in _scored(past, *self._models):
            if math.isnan(one):
                unread += 1
                continue
            count += 1
            is_spam = other >= self._thresholds[1]
            if is_spam is not (one >= self._thresholds[0]):
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
        return self.merged([Replay(messages=count, unread=unread, changes=tuple(changes))])

    def merged(self, parts: Iterable[Replay]) -> Replay:
        """What came of all of it; the parts in the order of their messages."""
        parts = tuple(parts)
        changes = [change for part in parts for change in part.changes]
        changes.sort(key=lambda change: -abs(change.candidate - self._thresholds[1]))
        return Replay(
            messages=sum(part.messages for part in parts),
            unread=sum(part.unread for part in parts),
            changes=tuple(changes),
        )


def replay(
    past: Iterable[PastMessage],
    incumbent: Path,
    candidate: Path,
    *,
    point: str = DEFAULT_POINT,
    jobs: int = 1,
) -> Replay:
    """Score ``past`` with both bundles, in so many processes. Raises BundleError."""
    replayer = _replayer(incumbent, candidate, point)
    if jobs == 1:
        return replayer(past)
    work = partial(_replayed, incumbent=incumbent, candidate=candidate, point=point)
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        return replayer.merged(_in_turn(pool, work, past, ahead=2 * jobs))


def _replayer(incumbent: Path, candidate: Path, point: str) -> Replayer:
    before, after = (LoadedModel.open(folder, ParseLimits()) for folder in (incumbent, candidate))
    return Replayer(before, after, point)


def _replayed(past: Sequence[PastMessage], *, incumbent: Path, candidate: Path, point: str) -> Replay:
    return _replayer(incumbent, candidate, point)(past)


def _in_turn(
    pool: Executor, work: Callable[[Sequence[PastMessage]], Replay], past: Iterable[PastMessage], *, ahead: int
) -> Iterator[Replay]:
    """What came of each chunk, in their order; no more than ``ahead`` of them are read before they are asked for."""
    waiting: deque[Future[Replay]] = deque()
    messages = iter(past)
    while chunk := tuple(islice(messages, _CHUNK)):
        waiting.append(pool.submit(work, chunk))
        if len(waiting) == ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


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

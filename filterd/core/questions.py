"""Which few messages a person is asked about: those whose label tells most.

A label on an audited message narrows what is known about ham loss. One where people's labels overruled the model tells
whether that was right. One near the threshold tells where it should be. Source of the last: Lewis and Gale 1994,
"A sequential algorithm for training text classifiers" (uncertainty sampling).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from filterd.core.calibration import odds_of
from filterd.core.envelope import MessageId
from filterd.core.near import is_near

_STEP = 0.25
"""Log-odds that are no difference: then the newest message comes first."""


class Why(StrEnum):
    """Why a message is asked about; the kinds take turns in this order."""

    AUDIT = "audit"
    """Drawn at random to be labelled."""
    DISAGREEMENT = "disagreement"
    """People's labels changed what the model alone would have done."""
    THRESHOLD = "threshold"
    """The probability is near to the threshold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A message without a label."""

    message: MessageId
    probability: float | None
    """None where nothing scored it."""
    threshold: float | None
    correction: float
    """What labels added to the log-odds."""
    fingerprint: str = ""
    is_audit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A message that somebody should label."""

    message: MessageId
    why: Why


def choose(candidates: Iterable[Candidate], limit: int, known: Sequence[str] = ()) -> Sequence[Question]:
    """At most ``limit`` questions, each kind in its turn; one per near-duplicate text, none on a ``known`` one."""
    queues: dict[Why, list[Candidate]] = {why: [] for why in Why}
    for candidate in candidates:
        if (why := _why(candidate)) is not None:
            queues[why].append(candidate)
    for queue in queues.values():
        # The best are taken from the end.
        queue.sort(key=lambda candidate: (-_distance(candidate), candidate.message))
    texts, chosen = list(known), list[Question]()
    while len(chosen) < limit and any(queues.values()):
        for why, queue in queues.items():
            found = _next(queue, texts)
            if found is not None and len(chosen) < limit:
                texts.append(found.fingerprint)
                chosen.append(Question(message=found.message, why=why))
    return tuple(chosen)


def _next(queue: list[Candidate], texts: Sequence[str]) -> Candidate | None:
    while queue:
        candidate = queue.pop()
        if not any(is_near(candidate.fingerprint, text) for text in texts):
            return candidate
    return None


def _why(candidate: Candidate) -> Why | None:
    if candidate.is_audit:
        return Why.AUDIT
    if candidate.probability is None or candidate.threshold is None or not 0 < candidate.threshold < 1:
        return None
    odds, at = odds_of(candidate.probability), odds_of(candidate.threshold)
    is_overruled = (odds >= at) != (odds - candidate.correction >= at)
    return Why.DISAGREEMENT if is_overruled else Why.THRESHOLD


def _distance(candidate: Candidate) -> int:
    """Steps of log-odds between a message and its threshold; audited ones are alike."""
    if candidate.is_audit or candidate.probability is None or candidate.threshold is None:
        return 0
    return int(abs(odds_of(candidate.probability) - odds_of(candidate.threshold)) / _STEP)

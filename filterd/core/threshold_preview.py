"""What another threshold would have done with the messages of the recent past."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from filterd.core.verdict import Label

POSITIONS: tuple[float, ...] = (
    *(0.3, 0.5, 0.6, 0.7, 0.8, 0.9),
    *(0.93, 0.95, 0.97, 0.98, 0.99),
    *(0.993, 0.995, 0.997, 0.998, 0.999),
)
"""Thresholds of the slider: even steps of log-odds, as people see it."""
PREVIEW_DAYS = 30
MOST_PREVIEWED = 20_000
"""Messages of these days that are looked at, the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A scored message of the past, and what people made of it."""

    probability: float
    label: Label | None = None
    """The latest label that stands."""
    was_released: bool = False
    """A person let it out of the quarantine."""

    @property
    def is_wanted(self) -> bool:
        """Whether people wanted it."""
        return self.label is Label.HAM or (self.was_released and self.label is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a threshold would have done."""

    threshold: float
    held: int
    """Messages at or above it."""
    held_wanted: int
    """Those of them that people released or called ham."""
    passed_spam: int
    """Messages below it that people reported as spam."""
    total: int


def outlooks(judged: Iterable[Judged], thresholds: Sequence[float] = POSITIONS) -> Sequence[Outlook]:
    """One for each threshold, in their order."""
    everything = list(judged)
    probabilities = sorted(one.probability for one in everything)
    wanted = sorted(one.probability for one in everything if one.is_wanted)
    spam = sorted(one.probability for one in everything if one.label is Label.SPAM)
    return tuple(
        Outlook(
            threshold=at,
            held=len(probabilities) - bisect_left(probabilities, at),
            held_wanted=len(wanted) - bisect_left(wanted, at),
            passed_spam=bisect_left(spam, at),
            total=len(probabilities),
        )
        for at in thresholds
    )

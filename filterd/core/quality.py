"""How well the filter does, estimated: ham loss, spam catch, calibration, drift.

The rates rest on an audit: a small random share of the messages that reached a recipient or the quarantine, labelled
afterwards. What people report by themselves is about mistakes and says only that there are at least so many.

Sources: Clopper and Pearson 1934 (bounds); Naeini et al. 2015 (expected calibration error); Siddiqi 2006, "Credit Risk
Scorecards" (population stability index: below 0.1 no drift, above 0.25 much).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from filterd.core.bounds import clopper_pearson
from filterd.core.envelope import MessageId

SCORE_EDGES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
"""Probabilities between which scores are counted."""
_CONFIDENCE = 0.975
"""Of the bounds of either share, so that both hold with 95 %."""
_CALIBRATION_BINS = 10
_FEWEST_LABELS = 20
_FEWEST_MESSAGES = 200
"""With fewer the index is mostly chance: nine bins and twice 200 messages make 0.09."""
_HALF = 0.5
"""Added to every count, so that an empty bin is no infinity."""
_DIGITS = 8
_DRAWN = 2.0**32
"""Numbers of so many hex digits."""


def is_audited(id: MessageId, ratio: float) -> bool:
    """Whether a message is in the audit, which takes ``ratio`` of all, [0, 1]: by the random end of its id.

    Every worker and host says the same, and no sender can choose.
    """
    return int(id[-_DIGITS:], 16) < ratio * _DRAWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A share with the bounds it lies in, [0, 1]; NaN where nothing is known."""

    low: float = 0.0
    estimate: float = math.nan
    high: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """Messages that were all treated alike, accepted or not."""

    total: float
    """How many there were."""
    labelled: int
    """Audited and labelled."""
    wrong: int
    """Those of them that were treated wrongly."""
    reported: int
    """Labels of any kind that say so."""


def wrong_share(stratum: Stratum) -> Estimate:
    """The share that was treated wrongly: by the audit, and never below what is reported."""
    if not stratum.total:
        return Estimate(low=0.0, estimate=0.0, high=0.0)
    low, high = clopper_pearson(stratum.wrong, stratum.labelled, _CONFIDENCE) if stratum.labelled else (0.0, 1.0)
    floor = min(1.0, stratum.reported / stratum.total)
    audited = stratum.wrong / stratum.labelled if stratum.labelled else 0.0
    return Estimate(low=max(low, floor), estimate=max(audited, floor), high=max(high, floor))


def ham_loss(acted: Stratum, accepted: Stratum) -> Estimate:
    """Ham not accepted / ham."""

    def rate(wrong_acted: float, wrong_accepted: float) -> float:
        return _part(acted.total * wrong_acted, accepted.total * (1 - wrong_accepted))

    return _between(rate, wrong_share(acted), wrong_share(accepted))


def spam_catch(acted: Stratum, accepted: Stratum) -> Estimate:
    """Spam not accepted / spam."""

    def miss(wrong_acted: float, wrong_accepted: float) -> float:
        return 1 - _part(acted.total * (1 - wrong_acted), accepted.total * wrong_accepted)

    missed = _between(miss, wrong_share(acted), wrong_share(accepted))
    return Estimate(low=1 - missed.high, estimate=1 - missed.estimate, high=1 - missed.low)


def _between(rate: Callable[[float, float], float], acted: Estimate, accepted: Estimate) -> Estimate:
    """``rate`` grows with both shares, so that its bounds are at theirs."""
    low, high = rate(acted.low, accepted.low), rate(acted.high, accepted.high)
    return Estimate(
        low=0.0 if math.isnan(low) else low,
        estimate=rate(acted.estimate, accepted.estimate),
        high=1.0 if math.isnan(high) else high,
    )


def _part(part: float, rest: float) -> float:
    return part / (part + rest) if part + rest > 0 else math.nan


def calibration_error(labelled: Sequence[tuple[float, bool]]) -> float:
    """Expected calibration error of (probability, is spam) pairs, [0, 1]; NaN below 20 of them."""
    if len(labelled) < _FEWEST_LABELS:
        return math.nan
    gaps = [0.0] * _CALIBRATION_BINS
    for p, is_spam in labelled:
        gaps[min(int(p * _CALIBRATION_BINS), _CALIBRATION_BINS - 1)] += p - is_spam
    return sum(map(abs, gaps)) / len(labelled)


def drift(before: Mapping[str, float], now: Mapping[str, float]) -> float:
    """Population stability index of two tallies over the same names, 0 or more; NaN where either is small."""
    names = sorted(before.keys() | now.keys())
    totals = [sum(tally.values()) for tally in (before, now)]
    if min(totals) < _FEWEST_MESSAGES:
        return math.nan
    found = 0.0
    for name in names:
        old, new = (
            (tally.get(name, 0.0) + _HALF) / (total + _HALF * len(names))
            for tally, total in zip((before, now), totals, strict=True)
        )
        found += (new - old) * math.log(new / old)
    return found

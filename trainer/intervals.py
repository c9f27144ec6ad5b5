"""How sure the figures are: 95 % intervals of 1-ROCA, of rates, and of the difference of two filters on one test.

Near-duplicates say the same thing several times, so that whole clusters are resampled, never single messages.

Sources: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapters 8 and 13; Cormack and Lynam, TREC 2005
Spam Track Overview (logit scale); Clopper and Pearson 1934; McNemar 1947.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.metrics import Floats, one_minus_roca, upper_bound, weighted_threshold

_Z = 1.959964
"""97.5 % quantile of the normal distribution."""
_TAIL = 0.975
_RESAMPLES = 1000
_COLUMNS = 128
"""Resamples computed at a time: 128 x 10,000 messages x 4 bytes stay in 5 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate and the ends of its 95 % interval."""

    estimate: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Both ends lie on one side of zero."""
        return self.low > 0 or self.high < 0


class Bootstrap:
    """Resamples of one test, the same ones for every filter, so that differences are paired."""

    def __init__(
        self, labels: Floats, clusters: NDArray[np.int64], *, resamples: int = _RESAMPLES, seed: int = 7
    ) -> None:
        """``labels`` are 1 for spam and 0 for ham, ``clusters`` tell which messages belong together; both [N]."""
        self._spam = np.asarray(labels) >= 0.5
        _, self._cluster = np.unique(clusters, return_inverse=True)
        count = int(self._cluster.max()) + 1 if len(self._cluster) else 0
        rng = np.random.default_rng(seed)
        drawn = rng.integers(0, max(count, 1), (resamples, count), np.int32)
        drawn += np.arange(resamples, dtype=np.int32)[:, None] * count
        counts = np.bincount(drawn.ravel(), minlength=resamples * count).reshape(resamples, count)
        self._counts = np.ascontiguousarray(counts.T, np.float32)

    @property
    def has_both_labels(self) -> bool:
        """Ham and spam are there, so that there is a 1-ROCA."""
        return bool(self._spam.any() and not self._spam.all())

    def one_minus_rocas(self, scores: Floats) -> NDArray[np.float64]:
        """float64[resamples]: 1-ROCA in per cent; NaN where a resample has one label only."""
        order = np.argsort(scores[~self._spam], kind="stable")
        ham, spam = self._cluster[~self._spam][order], self._cluster[self._spam]
        ranked, wanted = scores[~self._spam][order], scores[self._spam]
        below, upto = np.searchsorted(ranked, wanted, "left"), np.searchsorted(ranked, wanted, "right")
        resamples = self._counts.shape[1]
        out = np.empty(resamples)
        for start in range(0, resamples, _COLUMNS):
            counts = self._counts[:, start : start + _COLUMNS]
            hams = np.zeros((len(ham) + 1, counts.shape[1]), np.float32)
            np.cumsum(counts[ham], axis=0, out=hams[1:])
            spams = counts[spam]
            won = np.einsum("sr,sr->r", spams, hams[below] + hams[upto], dtype=np.float64) / 2
            with np.errstate(invalid="ignore"):
                out[start : start + _COLUMNS] = 1 - won / (hams[-1].astype(np.float64) * spams.sum(axis=0))
        return 100 * out

    def roca(self, scores: Floats) -> Interval:
        """1-ROCA in per cent. Normal on the logit scale, as TREC reports it; NaN without both labels.

        Where no pair is confused there is nothing to resample: the upper end is then that of no confusion among as
        many independent pairs as the scarcer label has clusters.
        """
        if not self.has_both_labels:
            return Interval(estimate=math.nan, low=math.nan, high=math.nan)
        value = one_minus_roca(scores[~self._spam], scores[self._spam])
        if value == 0:
            pairs = min(len(np.unique(self._cluster[where])) for where in (self._spam, ~self._spam))
            return Interval(estimate=0.0, low=0.0, high=100 * upper_bound(0, pairs, _TAIL))
        middle = float(self._logit(value))
        width = _Z * float(np.nanstd(self._logit(self.one_minus_rocas(scores))))
        return Interval(estimate=value, low=_percent(middle - width), high=_percent(middle + width))

    def difference(self, ours: Floats, theirs: Floats) -> Interval:
        """logit(our 1-ROCA) - logit(their 1-ROCA), below zero where ours is better; percentile interval.

        A filter that confuses no pair is credited half a pair, so that its logit is finite.
        """
        if not self.has_both_labels:
            return Interval(estimate=math.nan, low=math.nan, high=math.nan)
        values = [one_minus_roca(each[~self._spam], each[self._spam]) for each in (ours, theirs)]
        drawn = self._logit(self.one_minus_rocas(ours)) - self._logit(self.one_minus_rocas(theirs))
        low, high = np.nanquantile(drawn, (1 - _TAIL, _TAIL))
        estimate = self._logit(values[0]) - self._logit(values[1])
        return Interval(estimate=float(estimate), low=float(low), high=float(high))

    def _logit(self, percent: float | NDArray[np.float64]) -> NDArray[np.float64]:
        half = 0.5 / (int(self._spam.sum()) * int((~self._spam).sum()))
        share = np.clip(np.asarray(percent, np.float64) / 100, half, 1 - half)
        return np.asarray(np.log(share / (1 - share)), np.float64)


def _percent(logit: float) -> float:
    return 100 / (1 + math.exp(-logit))


def rate(part: int, whole: int) -> Interval:
    """A share and its Clopper-Pearson interval, [0, 1]; NaN, 0 and 1 when there is nothing to count."""
    if not whole:
        return Interval(estimate=math.nan, low=0.0, high=1.0)
    low = 1 - upper_bound(whole - part, whole, _TAIL) if part else 0.0
    return Interval(estimate=part / whole, low=low, high=upper_bound(part, whole, _TAIL))


def caught_at(scores: Floats, labels: Floats, ham_loss: float) -> NDArray[np.bool_]:
    """bool[spam]: which of the spam is caught by the lowest threshold that loses at most ``ham_loss`` of the ham."""
    spam = np.asarray(labels) >= 0.5
    ham = scores[~spam]
    return np.asarray(scores[spam] >= weighted_threshold(ham, np.ones(len(ham)), ham_loss), np.bool_)


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Two-sided exact p that both catch equally often, from the messages that only one of them catches, [0, 1].

    It takes every message for independent: with near-duplicates about, trust the bootstrap more.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    total = only_first + only_second
    tail = sum(math.comb(total, k) for k in range(min(only_first, only_second) + 1))
    return float(min(1.0, 2 * tail / 2**total))

"""How far a probability or a threshold can be believed: ECE, Brier, and what a threshold does to messages it never saw.

Sources: Brier 1950; Naeini, Cooper and Hauskrecht 2015 (ECE, here over bins of equal mass).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.metrics import Floats, upper_bound

BINS = 15


def brier(probabilities: Floats, labels: Floats) -> float:
    """Mean squared difference of probability and truth, [0, 1]; NaN of nothing."""
    return float(((probabilities - labels) ** 2).mean()) if len(labels) else float("nan")


def reliability(
    probabilities: Floats, labels: Floats, bins: int = BINS
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of each bin of equal mass: mean probability, share of spam, and share of the messages; float64[<= bins] each.

    Messages of the same probability share their truth, so that their order cannot matter.
    """
    values, inverse, sizes = np.unique(probabilities, return_inverse=True, return_counts=True)
    truth = np.bincount(inverse, weights=labels) / np.maximum(sizes, 1)
    ordered, smooth = np.repeat(values, sizes), np.repeat(truth, sizes)
    parts = [part for part in np.array_split(np.arange(len(ordered)), bins) if len(part)]
    return (
        np.array([ordered[part].mean() for part in parts], np.float64),
        np.array([smooth[part].mean() for part in parts], np.float64),
        np.array([len(part) / len(ordered) for part in parts], np.float64),
    )


def ece(probabilities: Floats, labels: Floats, bins: int = BINS) -> float:
    """Expected calibration error, [0, 1]: mean distance of probability and share of spam over bins; NaN of nothing."""
    if not len(labels):
        return float("nan")
    means, shares, masses = reliability(probabilities, labels, bins)
    return float((np.abs(means - shares) * masses).sum())


def safe_threshold(ham: Floats, budget: float, confidence: float = 0.95) -> float:
    """The lowest of these scores' thresholds whose ham loss is within ``budget``, a share, even at its upper bound.

    The bound is Clopper-Pearson's, one-sided. Infinity where the ham is too few to say so of any threshold: with no
    ham lost at all, that is below about 3 / budget of them.
    """
    ranked = np.sort(ham)[::-1]
    if not len(ranked) or upper_bound(0, len(ranked), confidence) > budget:
        return float("inf")
    lost, more = 0, len(ranked)
    while lost < more - 1:  # the bound grows with the number lost
        middle = (lost + more) // 2
        lost, more = (middle, more) if upper_bound(middle, len(ranked), confidence) <= budget else (lost, middle)
    return float(np.nextafter(ranked[lost], np.inf, dtype=np.float64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """A threshold chosen on some ham and used on later ham."""

    threshold: float
    budget: float
    """Share of ham it may lose, [0, 1]."""
    realised: float
    """Share of the later ham it loses, [0, 1]."""

    @property
    def ratio(self) -> float:
        """Realised loss in units of the budget: 1 is as promised."""
        return self.realised / self.budget


def transfer(chosen_on: Floats, used_on: Floats, budget: float, confidence: float = 0.95) -> Transfer:
    """``safe_threshold`` of one set of ham scores, and what it loses of another."""
    threshold = safe_threshold(chosen_on, budget, confidence)
    realised = float((used_on >= threshold).mean()) if len(used_on) else float("nan")
    return Transfer(threshold=threshold, budget=budget, realised=realised)

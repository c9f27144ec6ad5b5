"""The figures a filter is judged by, defined once. Larger logits are spammier.

Source for 1-ROCA and ham loss: Cormack and Lynam, TREC 2005 Spam Track Overview.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def one_minus_roca(ham: Floats, spam: Floats) -> float:
    """100 * (1 - area under the ROC curve), per cent; ties count half. NaN when a label is missing."""
    if not len(ham) or not len(spam):
        return float("nan")
    ordered = np.sort(ham)
    below = np.searchsorted(ordered, spam, "left")
    upto = np.searchsorted(ordered, spam, "right")
    return float(100 * (1 - (below + upto).sum() / 2 / (len(ham) * len(spam))))


def weighted_threshold(scores: Floats, weights: Floats, budget: float) -> float:
    """The lowest threshold at which at most ``budget`` of the weight of these scores lies at or above it."""
    order = np.argsort(scores)[::-1]
    ranked = scores[order]
    share = np.cumsum(weights[order]) / weights.sum()
    over = np.flatnonzero(share > budget)
    if not len(over):
        return float(ranked[-1])
    first = int(over[0])
    return float(np.nextafter(ranked[first], np.inf, dtype=np.float64))


def balanced_weights(keys: NDArray[np.str_]) -> NDArray[np.float64]:
    """float64[N] summing to 1: every key counts the same, however many examples it has."""
    names, inverse, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / (len(names) * sizes[inverse]), np.float64)


def spam_missed_at(
    scores: Floats, labels: Floats, corpora: NDArray[np.str_], *, ham_loss: float, least: int = 20
) -> float:
    """Share of spam below the threshold that loses ``ham_loss`` of the ham, every corpus counting the same, [0, 1].

    This is the guarded figure of training. Corpora with fewer than ``least`` examples of a label are left out unless
    nothing else is there.
    """
    ham, spam = labels < 0.5, labels >= 0.5
    threshold = weighted_threshold(scores[ham], _weights(corpora[ham], least), ham_loss)
    weights = _weights(corpora[spam], least)
    return float(weights[scores[spam] < threshold].sum() / weights.sum())


def _weights(keys: NDArray[np.str_], least: int) -> NDArray[np.float64]:
    names, inverse, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    del names
    weights = np.where(sizes[inverse] >= least, 1.0 / sizes[inverse], 0.0)
    return weights if weights.any() else np.ones(len(keys))


def upper_bound(lost: int, total: int, confidence: float = 0.95) -> float:
    """Upper end of a one-sided Clopper-Pearson interval for ``lost`` out of ``total``, [0, 1].

    Found by bisection on the binomial's lower tail, summed in logarithms. Source: Clopper and Pearson 1934.
    """
    if total == 0 or lost >= total:
        return 1.0
    low, high = lost / total, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _tail(lost, total, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _tail(lost: int, total: int, rate: float) -> float:
    """P(X <= lost) for X ~ Binomial(total, rate)."""
    k = np.arange(lost + 1)
    steps = np.concatenate([[0.0], np.log(total - k[:-1]) - np.log(k[1:])])
    logs = np.cumsum(steps) + k * np.log(rate) + (total - k) * np.log1p(-rate)
    return float(np.exp(logs).sum())


def rates(probabilities: Floats, labels: Floats, threshold: float) -> Mapping[str, int]:
    """Counts at a threshold: ``ham``, ``ham_lost``, ``spam``, ``spam_caught``."""
    held = probabilities >= threshold
    spam = labels >= 0.5
    return {
        "ham": int((~spam).sum()),
        "ham_lost": int((held & ~spam).sum()),
        "spam": int(spam.sum()),
        "spam_caught": int((held & spam).sum()),
    }

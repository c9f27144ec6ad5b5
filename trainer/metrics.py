"""The figures a filter is judged by, defined once. Larger scores are spammier; a score at the threshold is held.

Source for 1-ROCA, hm, sm and lam: Cormack and Lynam, TREC 2005 Spam Track Overview. Calibration is in
``trainer.reliability``.
"""

from __future__ import annotations

import math
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


def hm(ham: Floats, threshold: float) -> float:
    """Ham that is held, per cent of the ham; NaN without ham. Also called blocked ham, or false positive rate."""
    return float(100 * (ham >= threshold).mean()) if len(ham) else float("nan")


def sm(spam: Floats, threshold: float) -> float:
    """Spam that is missed, per cent of the spam; NaN without spam."""
    return float(100 * (spam < threshold).mean()) if len(spam) else float("nan")


def lam(ham: Floats, spam: Floats, threshold: float) -> float:
    """Logistic average of hm and sm, per cent; NaN when a label is missing.

    100 * sigmoid((logit hm + logit sm) / 2) with the natural logarithm, rates clipped to [0.5/n, 1 - 0.5/n].
    """
    if not len(ham) or not len(spam):
        return float("nan")
    rates_ = ((hm(ham, threshold) / 100, len(ham)), (sm(spam, threshold) / 100, len(spam)))
    clipped = [min(max(rate, 0.5 / n), 1 - 0.5 / n) for rate, n in rates_]
    middle = sum(math.log(rate / (1 - rate)) for rate in clipped) / 2
    return 100 / (1 + math.exp(-middle))


def sm_at_hm(ham: Floats, spam: Floats, budget: float) -> float:
    """The smallest sm of all thresholds that hold at most ``budget`` of the ham, per cent; NaN when a label is missing.

    ``budget`` is a share: 0.005 is hm .5 %. Below 1 / budget ham it asks for no held ham at all, and says little.
    """
    if not len(ham) or not len(spam):
        return float("nan")
    return sm(spam, weighted_threshold(ham, np.ones(len(ham)), budget))


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


def accuracy(counts: Mapping[str, int]) -> float:
    """Share judged right, [0, 1], of the counts that ``rates`` gives; NaN of nothing."""
    total = counts["ham"] + counts["spam"]
    return (counts["ham"] - counts["ham_lost"] + counts["spam_caught"]) / total if total else float("nan")


def f1(counts: Mapping[str, int]) -> float:
    """Harmonic mean of precision and recall of spam, [0, 1]; NaN without spam, caught or not."""
    whole = counts["spam"] + counts["spam_caught"] + counts["ham_lost"]
    return 2 * counts["spam_caught"] / whole if whole else float("nan")


def mcc(counts: Mapping[str, int]) -> float:
    """Matthews' correlation, [-1, 1]; 0 where a row or column of the table is empty. Source: Matthews, 1975."""
    tp, fp = counts["spam_caught"], counts["ham_lost"]
    fn, tn = counts["spam"] - tp, counts["ham"] - fp
    root = math.sqrt(float(tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return (tp * tn - fp * fn) / root if root else 0.0


def cost(counts: Mapping[str, int], ham_weight: float) -> float:
    """(ham_weight * ham lost + spam missed) / messages; 1, 9 and 99 are usual weights. NaN of nothing.

    Source: Androutsopoulos et al. 2000.
    """
    total = counts["ham"] + counts["spam"]
    missed = counts["spam"] - counts["spam_caught"]
    return (ham_weight * counts["ham_lost"] + missed) / total if total else float("nan")

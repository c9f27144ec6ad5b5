"""Which rows a published system is trained on and measured with: its author's way, and ours.

Ours keeps near-duplicates on one side and counts each cluster of them once; where the corpus has a test part, that
part without the near-duplicates of training texts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import CorpusError
from trainer.metrics import one_minus_roca, rates
from trainer.prepare import cluster, fold
from trainer.published.config import SequenceConfig
from trainer.published.texts import Texts

_Z = 1.959964
"""Of a two-sided interval of 95 %."""

Positions = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """Positions of rows, ascending."""

    train: Positions
    test: Positions


def published(texts: Texts, config: SequenceConfig) -> Division:
    """The corpus's own parts, or a random split over rows, repeats and all. Raises CorpusError."""
    share = config.protocol.test_share
    if not share:
        return _checked(Division(train=np.flatnonzero(~texts.is_test), test=np.flatnonzero(texts.is_test)), texts)
    order = np.random.default_rng(config.fit.seed).permutation(len(texts))
    cut = round(share * len(texts))
    return _checked(Division(train=np.sort(order[cut:]), test=np.sort(order[:cut])), texts)


def clusters_of(texts: Texts) -> Positions:
    """int64[N]: the first position of the near-duplicates of each row."""
    return cluster([fold(text) for text in texts.texts])


def held_out(texts: Texts, clusters: Positions, config: SequenceConfig) -> Division:
    """Whole clusters on either side, one row of each in the test. Raises CorpusError."""
    share = config.protocol.test_share
    if not share:
        theirs = published(texts, config)
        unseen = ~np.isin(clusters[theirs.test], clusters[theirs.train])
        return _checked(Division(train=theirs.train, test=theirs.test[unseen]), texts)
    roots, sizes = np.unique(clusters, return_counts=True)
    order = np.random.default_rng(config.fit.seed).permutation(len(roots))
    held = roots[order[np.cumsum(sizes[order]) <= share * len(texts)]]
    return _checked(Division(train=np.flatnonzero(~np.isin(clusters, held)), test=np.sort(held)), texts)


def _checked(division: Division, texts: Texts) -> Division:
    for part, rows in (("training", division.train), ("test", division.test)):
        if len(np.unique(texts.labels[rows])) < 2:
            raise CorpusError(f"the {part} part has no row of some label: the corpus is all repeats, or too small")
    return division


def leak(texts: Texts, division: Division, probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """How many test rows stand word for word in the training rows, by group, and how right the rest is.

    ``probabilities`` float64[len(division.test)]
    """
    seen = {texts.texts[i] for i in division.train}
    is_seen = np.array([texts.texts[i] in seen for i in division.test], bool)
    is_right = (probabilities >= 0.5) == texts.labels[division.test]
    groups = texts.groups[division.test]
    return {
        str(group): {
            "rows": int((groups == group).sum()),
            "seen": int((is_seen & (groups == group)).sum()),
            "accuracy_seen": _mean(is_right[is_seen & (groups == group)]),
            "accuracy_unseen": _mean(is_right[~is_seen & (groups == group)]),
        }
        for group in np.unique(groups)
    }


def _mean(values: NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None


def figures(probabilities: NDArray[np.float64], labels: NDArray[np.bool_], threshold: float) -> Mapping[str, Any]:
    """Counts, and accuracy with its interval, MCC, 1-ROCA, ham loss and spam caught, shares in [0, 1].

    Ham and spam are the two labels, the one that is looked for being spam.
    """
    counts = rates(probabilities, labels.astype(np.float64), threshold)
    ham, lost, spam, caught = (counts[name] for name in ("ham", "ham_lost", "spam", "spam_caught"))
    rows, right = ham + spam, caught + ham - lost
    return {
        **counts,
        "rows": rows,
        "accuracy": right / rows,
        "accuracy_interval": interval(right, rows),
        "mcc": matthews(caught, lost, spam - caught, ham - lost),
        "one_minus_roca_percent": one_minus_roca(probabilities[~labels], probabilities[labels]),
        "ham_loss": lost / ham,
        "spam_catch": caught / spam,
    }


def interval(part: int, whole: int) -> tuple[float, float]:
    """95 % interval of a share, [0, 1]. Source: Wilson 1927."""
    share, z = part / whole, _Z * _Z / whole
    middle = share + z / 2
    spread = _Z * math.sqrt((share * (1 - share) + z / 4) / whole)
    return max(0.0, (middle - spread) / (1 + z)), min(1.0, (middle + spread) / (1 + z))


def matthews(caught: int, lost: int, missed: int, passed: int) -> float:
    """Correlation of decision and truth, [-1, 1]; 0 where one of them never varies. Source: Matthews 1975."""
    below = (caught + lost) * (caught + missed) * (passed + lost) * (passed + missed)
    return (caught * passed - lost * missed) / math.sqrt(below) if below else 0.0

"""Chooses the thresholds of the named operating points by how much ham they may lose.

The budget is kept on the mean of the corpora, each counting with its ham up to ``FULL``, so that a large easy corpus
cannot pay for a small hard one and a handful of messages cannot decide. No corpus large enough to tell may lose more
than ``WORST`` times the budget by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import POINT_NAMES
from trainer.errors import CalibrationError
from trainer.metrics import weighted_threshold

BUDGETS: Mapping[str, float] = MappingProxyType(dict(zip(POINT_NAMES, (0.001, 0.005, 0.02), strict=True)))
"""Operating point -> share of ham that it may lose."""
WORST = 4.0
"""How many times the budget a single corpus may lose."""
FULL = 300
"""Ham of a corpus beyond which more does not give it more weight."""
_TELLING = 100
"""Ham of a corpus from which on its own loss is looked at."""
_LARGEST = 1 - 1e-6
"""Thresholds stay below certainty, which a rounded probability could miss."""
_APART = 1e-6


def choose(
    probabilities: NDArray[np.floating], labels: NDArray[np.floating], corpora: NDArray[np.str_]
) -> Mapping[str, float]:
    """Operating point -> lowest probability that keeps its budget, descending. Raises CalibrationError without ham."""
    ham = labels < 0.5
    if not ham.any():
        raise CalibrationError("operating points are chosen by ham loss, and there is no ham")
    scores, names = np.asarray(probabilities[ham], np.float64), corpora[ham]
    points: dict[str, float] = {}
    ceiling = _LARGEST
    for name in POINT_NAMES:
        budget = BUDGETS[name]
        wanted = [weighted_threshold(scores, _weights(names), budget)]
        for corpus in np.unique(names):
            inside = scores[names == corpus]
            if len(inside) >= _TELLING:
                wanted.append(weighted_threshold(inside, np.ones(len(inside)), WORST * budget))
        points[name] = min(max(wanted), ceiling)
        ceiling = points[name] - _APART
    return MappingProxyType(points)


def _weights(names: NDArray[np.str_]) -> NDArray[np.float64]:
    _, inverse, sizes = np.unique(names, return_inverse=True, return_counts=True)
    return np.asarray(np.minimum(sizes, FULL)[inverse] / sizes[inverse], np.float64)

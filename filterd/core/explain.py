"""Which words of a message moved the linear path most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from filterd.core.verdict import Evidence

MAX_EVIDENCE = 8
_MIN_WEIGHT = 0.01
_MARKS = frozenset(("<subj>", "<from>", "<body>", "<link>", "<sms>", "<none>"))


def explain(words: Sequence[str], ids: npt.NDArray[np.int32], weights: npt.NDArray[np.float32]) -> tuple[Evidence, ...]:
    """The words with the largest weights, largest first.

    ``ids`` holds the linear path's id of each word, ``weights`` is its table: float32[buckets].
    """
    found: dict[str, float] = {}
    values = weights[ids]
    for at in np.argsort(-np.abs(values), kind="stable"):
        word, weight = words[at], float(values[at])
        if abs(weight) < _MIN_WEIGHT or len(found) == MAX_EVIDENCE:
            break
        if word not in _MARKS:
            found.setdefault(word, weight)
    return tuple(Evidence(token=word, weight=round(weight, 4)) for word, weight in found.items())

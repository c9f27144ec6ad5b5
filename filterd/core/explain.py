"""Which words of a message moved its logit most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from filterd.core.verdict import Evidence

MAX_EVIDENCE = 8
_MIN_WEIGHT = 0.01
_MARKS = frozenset(("<subj>", "<from>", "<body>", "<link>", "<sms>", "<none>"))


def explain(
    words: Sequence[str], linear: npt.NDArray[np.float32], passages: npt.NDArray[np.float32]
) -> tuple[Evidence, ...]:
    """The words that moved the logit most, in log-odds, largest first.

    ``linear`` and ``passages``, float32[len(words)] each: what the linear path gives for a word, however often it
    stands there, and what each place in the text adds.
    """
    found: dict[str, float] = {}
    for word, once, here in zip(words, linear.tolist(), passages.tolist(), strict=True):
        found[word] = found.get(word, once) + here
    # Only those that will be named are rounded and made into values: of a hundred words eight are.
    heavy = [(word, weight) for word, weight in found.items() if abs(weight) >= _MIN_WEIGHT and word not in _MARKS]
    heavy.sort(key=_heaviest_first)
    return tuple(Evidence(token=word, weight=round(weight, 4)) for word, weight in heavy[:MAX_EVIDENCE])


def _heaviest_first(item: tuple[str, float]) -> float:
    return -abs(item[1])

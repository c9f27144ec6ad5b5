"""What a filter under comparison can do. The idea is the TREC spam jig: initialize, classify, train, finalize.

Source: Cormack and Lynam, TREC 2005 Spam Track Overview, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.example import Example


class System(AbstractContextManager["System"], Protocol):
    """One filter of one channel, from its empty state; the context manager releases processes and folders.

    Larger scores are spammier; their scale is the system's own. ``Example.label`` is read by ``learn`` only.
    """

    name: str
    """As it stands in tables, with its version where it has one."""
    cut: float
    """Score from which the system calls a message spam unless its operator says otherwise."""

    def learn(self, examples: Sequence[Example]) -> None:
        """Train on these, in this order. May be called again with more. Raises TrainerError."""
        ...

    def score(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """float64[len(examples)]; learns nothing. Raises TrainerError."""
        ...

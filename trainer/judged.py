"""What the gate looks at: sets of labelled messages as one bundle judged them, and what judging cost. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """N labelled messages, in an order that is the same for every bundle. Raises ValueError when lengths differ."""

    ids: tuple[str, ...]
    is_spam: Bools
    """bool[N]: what a person says of each."""
    probabilities: NDArray[np.float64]
    """float64[N]: calibrated, [0, 1]."""
    is_held: Bools
    """bool[N]: at or above the bundle's own operating point."""
    slices: tuple[tuple[str, ...], ...] = ()
    """Names of the slices that each message belongs to; empty where there are none."""

    def __post_init__(self) -> None:
        lengths = {len(self.ids), len(self.is_spam), len(self.probabilities), len(self.is_held)}
        if len(lengths) > 1 or (self.slices and len(self.slices) != len(self.ids)):
            raise ValueError("every message needs a label, a probability, a decision and its slices")

    @property
    def is_wrong(self) -> Bools:
        """bool[N]: ham that is held, and spam that is not."""
        return np.asarray(self.is_held != self.is_spam, np.bool_)

    @property
    def is_ham(self) -> Bools:
        """bool[N]: the others."""
        return ~self.is_spam

    def slice_names(self) -> tuple[str, ...]:
        """Every slice, by name."""
        return tuple(sorted({name for names in self.slices for name in names}))

    def inside(self, name: str) -> Bools:
        """bool[N]: which messages belong to a slice."""
        return np.array([name in names for names in self.slices], np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurements:
    """One bundle on everything that the gate asks for; what is None was not measured."""

    bundle: str
    """Its id."""
    golden: Judged | None = None
    """The frozen set of ham and spam."""
    tripwire: Judged | None = None
    """Ham of today that no training reads."""
    corpora: Judged | None = None
    """The test part of the corpora that the candidate was trained on; a message's slices name its corpus."""
    newest: Judged | None = None
    """The newest labels of people, which the candidate was not trained on."""
    attacked: Mapping[str, Judged] = field(default_factory=lambda: MappingProxyType({}))
    """Attack -> golden messages as attacked."""
    common_words: Judged | None = None
    """Golden ham with common words of ham added: what a dictionary attack makes look like spam."""
    milliseconds: float | None = None
    """CPU time of a message on the scan path, from bytes to probability, in the same run as the other bundle's."""
    megabytes: float | None = None
    """Of the graph's file; 1 MB is 10**6 bytes."""


def joined(sets: Sequence[Judged]) -> Judged:
    """The messages of all sets as one, in this order; there must be one at least."""
    return Judged(
        ids=tuple(id for each in sets for id in each.ids),
        is_spam=np.concatenate([each.is_spam for each in sets]),
        probabilities=np.concatenate([each.probabilities for each in sets]),
        is_held=np.concatenate([each.is_held for each in sets]),
        slices=tuple(names for each in sets for names in (each.slices or ((),) * len(each.ids))),
    )

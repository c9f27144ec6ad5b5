"""Why a verdict is what it is, in parts that add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from filterd.core.bundle import Hashing
from filterd.core.token_codec import unpack
from filterd.core.verdict import Evidence

REST = "everything else"
"""The words too light to name, pairs of words, facts, side features and what the network starts from."""
LABELS = "people's labels"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A log-odds taken apart."""

    parts: tuple[Evidence, ...]
    """What moved it, the strongest words first, then labels, then the rest; their sum is ``total``."""
    total: float
    """Log-odds that the probability was made of."""


def take_apart(logit: float, correction: float, evidence: Sequence[Evidence]) -> Sum:
    """The parts of ``logit + correction``; ``evidence`` is what the words that are named did."""
    parts = list(evidence)
    if correction:
        parts.append(Evidence(token=LABELS, weight=correction))
    parts.append(Evidence(token=REST, weight=logit - sum(part.weight for part in evidence)))
    return Sum(parts=tuple(parts), total=logit + correction)


def side_features(tokens: bytes, hashing: Hashing) -> tuple[tuple[str, float], ...]:
    """Name and value of every side feature that was not zero. Raises ValueError for what is no input of ``hashing``."""
    values = unpack(tokens, hashing).side.tolist()
    return tuple((name, value) for name, value in zip(hashing.side, values, strict=True) if value)

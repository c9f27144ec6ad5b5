"""Fits the linear path by itself, to its optimum, and weighs it against the deep path on messages neither has seen.

Trained together by steps, the linear tables stay far from where they want to be: a message's features are divided by
the square root of their number, so that weights of five and more are needed, and a rare feature sees few steps.
Source: late fusion of a recurrent network and a linear filter beats both (docs/decisions/0007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from trainer.features import Encoded
from trainer.logistic import weights_of

FLOOR = -2.0
"""Log-odds below which the linear path does not go: more words of ham than that buy nothing."""
_COMMON = 6.0
"""Inverse document frequency, as ``_rarity`` has it, of a feature that one in 150 messages has: its penalty is the
same whatever the power."""
_PULL = 1e-5
"""Of the blend towards nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalty:
    """How far from nothing the weights may go."""

    strength: float
    """Inverse of the L2 penalty, of a sum over examples whose mean weight is 1."""
    rarity: int
    """Power of the inverse document frequency by which a feature is scaled, so that a rare one may weigh more."""


PENALTIES = tuple(Penalty(strength=c, rarity=n) for c, n in ((1.0, 0), (10.0, 0), (10.0, 1), (10.0, 2)))
"""What is tried: with few examples the first is best, with tens of thousands the last. A higher power is better still
on corpora that were trained on, of which a validation part tells, and worse on those that were not (decision 0007)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearPath:
    """Weights of the linear tables, in log-odds."""

    wide: NDArray[np.float32]
    """float32[wide_buckets]"""
    grams: NDArray[np.float32]
    """float32[token_buckets]"""
    bias: float
    penalty: Penalty = PENALTIES[0]

    def logits(self, encoded: Encoded) -> NDArray[np.float64]:
        """float64[N]: what the path gives by itself."""
        return self.logits_of(matrix(encoded))

    def logits_of(self, features: scipy.sparse.csr_matrix) -> NDArray[np.float64]:
        """float64[N]: the same for what ``matrix`` made of the messages."""
        return np.asarray(features @ np.concatenate([self.wide, self.grams]) + self.bias, np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blend:
    """``logit = deep * deep_logit + linear * linear_logit + bias``."""

    deep: float
    linear: float
    bias: float

    def loss(
        self,
        deep: NDArray[np.floating],
        linear: NDArray[np.floating],
        labels: NDArray[np.floating],
        weights: NDArray[np.floating],
    ) -> float:
        """Mean cross-entropy in nats of the blended logits, float[N] each."""
        logits = self.deep * np.asarray(deep, np.float64) + self.bias + self.part_of(linear)
        return float(np.average(np.logaddexp(0, np.where(labels > 0.5, -logits, logits)), weights=weights))

    def part_of(self, linear: NDArray[np.floating]) -> NDArray[np.float64]:
        """float64[N]: what of a blended logit comes from ``linear``, the logits of the linear path."""
        return self.linear * np.maximum(np.asarray(linear, np.float64), FLOOR)


def matrix(encoded: Encoded) -> scipy.sparse.csr_matrix:
    """float32[N, wide_buckets + token_buckets]: each kind of feature over the square root of its number."""
    hashing = encoded.hashing
    ids = encoded.tokens.reshape(-1)
    present = ids > 0
    ends = np.concatenate([[0], np.cumsum(present)])[encoded.token_offsets * hashing.grams]
    wide = _rows(encoded.wide, encoded.wide_offsets, hashing.wide_buckets)
    grams = _rows(ids[present], ends, hashing.token_buckets)
    return scipy.sparse.hstack([wide, grams]).tocsr()


def _rows(ids: NDArray[np.int32], offsets: NDArray[np.int64], buckets: int) -> scipy.sparse.csr_matrix:
    counts = np.diff(offsets)
    values = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)
    found = scipy.sparse.csr_matrix((values, ids, offsets), shape=(len(counts), buckets))
    found.sum_duplicates()
    return found


def fit_linear(
    encoded: Encoded,
    labels: NDArray[np.float32],
    weights: NDArray[np.float64],
    ham_weight: float,
    penalties: Sequence[Penalty] = PENALTIES[:1],
) -> list[LinearPath]:
    """For each penalty the logistic regression of these examples, a ham counting ``ham_weight`` times."""
    weight = weights * np.where(labels > 0.5, 1.0, ham_weight)
    features = matrix(encoded)
    rarity = _rarity(features)
    split = encoded.hashing.wide_buckets
    paths = []
    for penalty in penalties:
        scale = rarity**penalty.rarity
        model = LogisticRegression(C=penalty.strength, solver="liblinear", max_iter=200)
        model.fit(features @ scipy.sparse.diags(scale), labels > 0.5, sample_weight=weight / weight.mean())
        coefficients = np.asarray(model.coef_[0] * scale, np.float32)
        bias = float(model.intercept_[0])
        paths.append(LinearPath(wide=coefficients[:split], grams=coefficients[split:], bias=bias, penalty=penalty))
    return paths


def _rarity(features: scipy.sparse.csr_matrix) -> NDArray[np.float32]:
    """float32[D]: inverse document frequency, smoothed, over that of a common word."""
    count, buckets = features.shape
    frequency = np.bincount(features.indices, minlength=buckets)
    return np.asarray((np.log((1 + count) / (1 + frequency)) + 1) / _COMMON, np.float32)


def choose(
    paths: Sequence[LinearPath],
    encoded: Encoded,
    deep: NDArray[np.floating],
    labels: NDArray[np.floating],
    weights: NDArray[np.floating],
) -> tuple[LinearPath, Blend]:
    """The path that, blended with float[N] logits of the deep one, fits these examples best; and that blend."""
    features, found = matrix(encoded), []
    for path in paths:
        logits = path.logits_of(features)
        shares = blend(deep, logits, labels, weights)
        found.append((shares.loss(deep, logits, labels, weights), path, shares))
    _, best, shares = min(found, key=lambda each: each[0])
    return best, shares


def blend(
    deep: NDArray[np.floating],
    linear: NDArray[np.floating],
    labels: NDArray[np.floating],
    weights: NDArray[np.floating],
) -> Blend:
    """The best weights of the two paths on the validation part; neither counts against what it says.

    Source: stacked generalisation, Wolpert 1992.
    """
    columns = np.stack([deep, np.maximum(linear, FLOOR), np.ones(len(labels))], axis=1).astype(np.float64)
    for chosen in ([0, 1, 2], [0, 2], [1, 2]):
        theta = np.zeros(3)
        theta[chosen] = weights_of(columns[:, chosen], labels, weights, start=np.zeros(len(chosen)), pull=_PULL)
        if (theta[:2] >= 0).all():
            break
    return Blend(deep=float(theta[0]), linear=float(theta[1]), bias=float(theta[2]))

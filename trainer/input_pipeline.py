"""Batches of encoded examples: balanced draws for training, everything in order for scoring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.example import Example, Label
from trainer.features import Encoded

_POOL = 16
"""Batches drawn together and sorted by length, so that a batch holds little padding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Inputs of the network and their truth."""

    feeds: dict[str, NDArray[np.int32] | NDArray[np.float32]]
    labels: NDArray[np.float32]
    """float32[B]: 1 is spam."""
    positions: NDArray[np.int64]


def labels_of(examples: Sequence[Example]) -> NDArray[np.float32]:
    """float32[N]: 1 is spam."""
    return np.array([example.label is Label.SPAM for example in examples], np.float32)


def draw_weights(examples: Sequence[Example], clusters: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64[N]: probability of each example in a draw.

    Both labels are drawn equally often. Within a label a corpus counts with the square root of its size, and within a
    corpus a near-duplicate cluster with the square root of its own, so that neither a large corpus nor a campaign
    drowns the rest.
    """
    _, inverse, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    weights = 1.0 / np.sqrt(sizes[inverse].astype(np.float64))
    keys = np.array([f"{e.corpus}\t{e.label}" for e in examples])
    labels = np.array([str(e.label) for e in examples])
    for key in np.unique(keys):
        inside = keys == key
        total = weights[inside].sum()
        weights[inside] *= np.sqrt(total) / total
    for label in np.unique(labels):
        inside = labels == label
        weights[inside] /= weights[inside].sum()
    return np.asarray(weights / weights.sum(), np.float64)


def drawn(
    encoded: Encoded,
    labels: NDArray[np.float32],
    weights: NDArray[np.float64],
    *,
    count: int,
    batch: int,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """About ``count`` examples in full batches, drawn with these weights, batches of similar length together."""
    chosen = rng.choice(len(labels), size=max(batch, count // batch * batch), p=weights)
    lengths = encoded.lengths()
    for start in range(0, len(chosen), batch * _POOL):
        part = chosen[start : start + batch * _POOL]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches = part.reshape(-1, batch)
        for row in rng.permutation(len(batches)):
            yield batch_of(encoded, labels, batches[row])


def ordered(encoded: Encoded, labels: NDArray[np.float32], batch: int) -> Iterator[Batch]:
    """Every example once, short ones first; the last batch may be smaller."""
    order = np.argsort(encoded.lengths(), kind="stable")
    for start in range(0, len(order), batch):
        yield batch_of(encoded, labels, order[start : start + batch])


def batch_of(encoded: Encoded, labels: NDArray[np.float32], positions: NDArray[np.int64]) -> Batch:
    """One batch, padded to the next of a few lengths so that few shapes are compiled."""
    return Batch(feeds=encoded.feeds(positions), labels=labels[positions], positions=positions)

"""Batches of encoded examples: balanced draws for training, everything in order for scoring."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import Hashing
from trainer.example import Example, Label
from trainer.features import Encoded, Inputs, joined_with, stack

_POOL = 16
"""Batches drawn together and sorted by length, so that a batch holds little padding."""
_BOOST: Mapping[str, float] = MappingProxyType({"own-modern": 2.0, "modern": 3.0})
"""Corpora that are drawn more often than their size asks for: the only modern ones that have both labels."""
_CUT_SHARE = 0.15
"""Share of drawn messages of which only the beginning is shown."""
_PADDED_SHARE = 0.35
"""Share of drawn spam that gets a piece of ham."""


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
        weights[inside] *= _BOOST.get(key.partition("\t")[0], 1.0) * np.sqrt(total) / total
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
            yield _varied(encoded, labels, batches[row], rng)


def _varied(
    encoded: Encoded, labels: NDArray[np.float32], positions: NDArray[np.int64], rng: np.random.Generator
) -> Batch:
    """A batch in which some messages are cut short and some spam has a piece of ham before or after it.

    The piece teaches that words of ham do not make a spam good: without it thirty of them hide four spams in ten.
    """
    ham = np.flatnonzero(labels < 0.5)
    chance = rng.random((2, len(positions)))
    messages = []
    for row, position in enumerate(positions):
        message = encoded.one(int(position))
        if chance[0, row] < _CUT_SHARE:
            message = _cut(message, rng)
        elif labels[position] > 0.5 and chance[1, row] < _PADDED_SHARE:
            message = _padded(message, encoded.one(int(rng.choice(ham))), encoded.hashing, rng)
        messages.append(message)
    made = stack(messages, encoded.hashing)
    return Batch(feeds=made.feeds(np.arange(len(made), dtype=np.int64)), labels=labels[positions], positions=positions)


def with_padded_spam(
    encoded: Encoded, labels: NDArray[np.float32], weights: NDArray[np.float64], rng: np.random.Generator
) -> tuple[Encoded, NDArray[np.float32], NDArray[np.float64]]:
    """Every example, and every spam once more with a piece of ham; the copy takes a third of its weight."""
    ham, spam = np.flatnonzero(labels < 0.5), np.flatnonzero(labels > 0.5)
    copies = stack(
        (
            _padded(encoded.one(int(i)), encoded.one(int(j)), encoded.hashing, rng)
            for i, j in zip(spam, rng.choice(ham, len(spam)), strict=True)
        ),
        encoded.hashing,
    )
    shares = np.where(labels > 0.5, weights * 2 / 3, weights)
    joined = joined_with(encoded, copies)
    return joined, np.concatenate([labels, labels[spam]]), np.concatenate([shares, weights[spam] / 3])


def _cut(message: Inputs, rng: np.random.Generator) -> Inputs:
    """The beginning of a message; its wide features lose the same share."""
    tokens, wide, side = message
    share = rng.uniform(0.3, 1.0)
    kept = rng.random(len(wide)) < share
    return tokens[: max(1, int(share * len(tokens)))], wide[kept], side


def _padded(spam: Inputs, ham: Inputs, hashing: Hashing, rng: np.random.Generator) -> Inputs:
    """Spam with a piece of ham of at most two thirds of the length that is read."""
    most = hashing.max_tokens * 2 // 3
    piece = ham[0][: int(rng.integers(1, most + 1))]
    own = spam[0][: hashing.max_tokens - len(piece)]
    tokens = np.concatenate([own, piece] if rng.random() < 0.5 else [piece, own])
    share = len(piece) / max(1, len(ham[0]))
    borrowed = ham[1][rng.random(len(ham[1])) < share]
    wide = np.union1d(spam[1], borrowed).astype(np.int32)
    return tokens, rng.permutation(wide)[: hashing.max_wide], spam[2]


def ordered(encoded: Encoded, labels: NDArray[np.float32], batch: int) -> Iterator[Batch]:
    """Every example once, short ones first; the last batch may be smaller."""
    order = np.argsort(encoded.lengths(), kind="stable")
    for start in range(0, len(order), batch):
        yield batch_of(encoded, labels, order[start : start + batch])


def batch_of(encoded: Encoded, labels: NDArray[np.float32], positions: NDArray[np.int64]) -> Batch:
    """One batch, padded to the next of a few lengths so that few shapes are compiled."""
    return Batch(feeds=encoded.feeds(positions), labels=labels[positions], positions=positions)

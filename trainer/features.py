"""Encodes examples through ``filterd.core``, the daemon's own extractor, into arrays kept ragged in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import Hashing

_LENGTHS = (32, 64, 128, 256)
"""Lengths that batches are padded to, below the model's own longest."""

Inputs = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
"""One message: tokens int32[T, G] without padding, wide int32[W] without padding, side float32[S]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """N messages as the model reads them; rows of message i are ``[offsets[i], offsets[i + 1])``."""

    hashing: Hashing
    tokens: NDArray[np.int32]
    """int32[sum of lengths, G]"""
    token_offsets: NDArray[np.int64]
    wide: NDArray[np.int32]
    wide_offsets: NDArray[np.int64]
    side: NDArray[np.float32]
    """float32[N, S]"""

    def __len__(self) -> int:
        return len(self.side)

    def lengths(self) -> NDArray[np.int64]:
        """int64[N]: tokens of each message."""
        return np.diff(self.token_offsets)

    def select(self, positions: Sequence[int] | NDArray[np.int64]) -> Encoded:
        """These messages, in this order."""
        chosen = [self._one(int(position)) for position in positions]
        return stack(chosen, self.hashing)

    def _one(self, i: int) -> Inputs:
        return (
            self.tokens[self.token_offsets[i] : self.token_offsets[i + 1]],
            self.wide[self.wide_offsets[i] : self.wide_offsets[i + 1]],
            self.side[i],
        )

    def feeds(self, positions: NDArray[np.int64]) -> dict[str, NDArray[np.int32] | NDArray[np.float32]]:
        """Padded inputs of a batch; the padded length is one of a few, so that few shapes are compiled."""
        lengths = self.lengths()[positions].astype(np.int32)
        longest = min([n for n in (*_LENGTHS, self.hashing.max_tokens) if n >= lengths.max()])
        tokens = np.zeros((len(positions), longest, self.hashing.grams), np.int32)
        wide = np.zeros((len(positions), self.hashing.max_wide), np.int32)
        for row, position in enumerate(positions):
            words, features, _ = self._one(int(position))
            tokens[row, : len(words)] = words
            wide[row, : len(features)] = features
        return {"tokens": tokens, "length": lengths, "wide": wide, "side": self.side[positions]}


def stack(messages: Iterable[Inputs], hashing: Hashing) -> Encoded:
    """Encoded messages, in this order."""
    tokens, wide, side = [], [], []
    for words, features, facts in messages:
        tokens.append(words)
        wide.append(features)
        side.append(facts)
    return Encoded(
        hashing=hashing,
        tokens=np.concatenate(tokens) if tokens else np.zeros((0, hashing.grams), np.int32),
        token_offsets=np.cumsum([0, *map(len, tokens)], dtype=np.int64),
        wide=np.concatenate(wide) if wide else np.zeros(0, np.int32),
        wide_offsets=np.cumsum([0, *map(len, wide)], dtype=np.int64),
        side=np.array(side, np.float32).reshape(-1, len(hashing.side)),
    )

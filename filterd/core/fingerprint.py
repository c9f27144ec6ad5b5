"""A hash of a message's words that small changes leave nearly as it was.

Source: Charikar 2002, "Similarity estimation techniques from rounding algorithms" (SimHash), over words and pairs of
neighbours; of a long text over the part of them with the smallest hashes, which is the same part in a near copy
(Broder 1997, "On the resemblance and containment of documents"). The registrable domain of every link is a word.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from filterd.core.distinct import distinct
from filterd.core.near import EXACT

MIN_WORDS = 5
"""Fewer words say too little to be compared: unrelated messages would share them."""

_MIN_EXACT_WORDS = 2
_MOST_FEATURES = 256
_FIRST = np.uint64(0x9E3779B97F4A7C15)
_SECOND = np.uint64(0xC2B2AE3D27D4EB4F)
_LANES = np.array(
    [0x2545F4914F6CDD1D, 0x9E6C63D0876A9A35, 0xD6E8FEB86659FD93, 0xA0761D6478BD642F],
    dtype=np.uint64,
)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFT = (np.uint64(30), np.uint64(27), np.uint64(31))


def fingerprint(words: npt.NDArray[np.uint64]) -> str:
    """256 bits as 64 hex digits; for two to four words ``=`` and 16; empty for fewer.

    ``words`` holds one hash per word: uint64[N].
    """
    if len(words) < _MIN_EXACT_WORDS:
        return ""
    pairs = words[:-1] * _FIRST
    pairs += words[1:] * _SECOND
    if len(words) < MIN_WORDS:
        _mix(pairs)
        return f"{EXACT}{int(np.bitwise_xor.reduce(pairs)):016x}"
    features = np.concatenate((words, pairs))
    _mix(features)
    features = distinct(features)[:_MOST_FEATURES]
    hashes = features[:, None] ^ _LANES
    _mix(hashes)
    bits = np.unpackbits(hashes.view(np.uint8), axis=1)
    majority = bits.sum(axis=0, dtype=np.uint16) > len(features) // 2
    return np.packbits(majority).tobytes().hex()


def lanes(fingerprint: str) -> npt.NDArray[np.uint64]:
    """The bits of a fingerprint of 64 digits: uint64[4]."""
    return np.frombuffer(bytes.fromhex(fingerprint), dtype=np.uint64)


def _mix(values: npt.NDArray[np.uint64]) -> None:
    """SplitMix64's finaliser, in place: every bit of the input moves every bit of the output."""
    values ^= values >> _SHIFT[0]
    values *= _MIX[0]
    values ^= values >> _SHIFT[1]
    values *= _MIX[1]
    values ^= values >> _SHIFT[2]

"""A hash of a message's words that small changes leave nearly as it was.

Source: Charikar 2002, "Similarity estimation techniques from rounding algorithms" (SimHash), over triples of words.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from filterd.core.distinct import distinct

MIN_WORDS = 5
"""Fewer words say too little: unrelated messages would share them."""

_FIRST = np.uint64(0x9E3779B97F4A7C15)
_SECOND = np.uint64(0xC2B2AE3D27D4EB4F)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFT = (np.uint64(30), np.uint64(27), np.uint64(31))


def fingerprint(words: npt.NDArray[np.uint64]) -> str:
    """64 bits as 16 hex digits; empty for fewer than five words. ``words`` holds one hash per word: uint64[N]."""
    if len(words) < MIN_WORDS:
        return ""
    triples = words[:-2] * _FIRST
    triples += words[1:-1] * _SECOND
    triples += words[2:]
    _mix(triples)
    triples = distinct(triples)
    bits = np.unpackbits(triples.view(np.uint8).reshape(len(triples), 8), axis=1)
    majority = bits.sum(axis=0, dtype=_counter(len(triples))) > len(triples) // 2
    return np.packbits(majority).tobytes().hex()


def distance(one: str, other: str) -> int:
    """Bits in which two fingerprints differ, [0, 64]."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def _counter(most: int) -> type[np.unsignedinteger]:
    """The narrowest type that counts to ``most``: the sum of a text's bits is most of the work."""
    return np.uint16 if most <= np.iinfo(np.uint16).max else np.uint64


def _mix(values: npt.NDArray[np.uint64]) -> None:
    """SplitMix64's finaliser, in place: every bit of the input moves every bit of the output."""
    values ^= values >> _SHIFT[0]
    values *= _MIX[0]
    values ^= values >> _SHIFT[1]
    values *= _MIX[1]
    values ^= values >> _SHIFT[2]

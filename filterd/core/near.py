"""When two fingerprints are of nearly the same text; ``core.fingerprint`` makes them."""

from __future__ import annotations

NEAR_BITS = 68
"""Fingerprints that differ in at most so many of their 256 bits are of one text, about a fifth of its words reworded.

Two texts without a word in common differ in 128 +/- 8; of 3,243 messages written to imitate each other, none was this
near to one of the other label (76 was the nearest).
"""
ALIKE_BITS = 100
"""Fingerprints that differ in at most so many bits are of texts that have something in common."""
EXACT = "="
"""Begins the fingerprint of a text of two to four words, which only the same words have."""


def is_near(one: str, other: str) -> bool:
    """Whether two fingerprints are of nearly the same text; never where one is empty."""
    if not one or not other or one.startswith(EXACT) or other.startswith(EXACT):
        return bool(one) and one == other
    return distance(one, other) <= NEAR_BITS


def likeness(one: str, other: str) -> int:
    """Bits in which two fingerprints differ, [0, 256]; where they cannot be compared 0 if they are equal, else 256."""
    if not one or not other or one.startswith(EXACT) or other.startswith(EXACT):
        return 0 if one and one == other else 256
    return distance(one, other)


def distance(one: str, other: str) -> int:
    """Bits in which two fingerprints of 64 digits differ, [0, 256]."""
    return (int(one, 16) ^ int(other, 16)).bit_count()

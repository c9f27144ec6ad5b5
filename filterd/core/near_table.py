"""Fingerprints looked through all at once: a third of a millisecond for 200,000 of them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from filterd.core.envelope import Channel
from filterd.core.fingerprint import lanes
from filterd.core.near import NEAR_BITS


class Printed(Protocol):
    """Something about a message whose fingerprint is known."""

    @property
    def id(self) -> Hashable:
        """What tells it from others."""
        ...

    @property
    def channel(self) -> Channel:
        """Of the message."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of the message."""
        ...


T = TypeVar("T", bound=Printed)

_LANES = 4
FIRST_BITS = 20
"""Of the first 64 bits: near texts seldom differ in more, and one in 500 of unrelated ones in no more.

Of fingerprints that differ in 68 of all bits 87 % are within it, in 60 bits 97 %, in 52 bits 99.5 % (hypergeometric).
"""
_FIRST_ROWS = 64
_BLOCK_ROWS = 1 << 16
"""Compared at a time: their differences stay in the processor's cache until they are counted."""


class Table(Generic[T]):
    """Fingerprints of one channel in rows: the first lane by itself, because most rows are ruled out by it."""

    def __init__(self) -> None:
        self._first: npt.NDArray[np.uint64] = np.zeros(_FIRST_ROWS, np.uint64)
        self._all: npt.NDArray[np.uint64] = np.zeros((_FIRST_ROWS, _LANES), np.uint64)
        self._differing: npt.NDArray[np.uint64] = np.zeros(_BLOCK_ROWS, np.uint64)
        self._counts: npt.NDArray[np.uint8] = np.zeros(_FIRST_ROWS, np.uint8)
        self._is_near: npt.NDArray[np.bool_] = np.zeros(_FIRST_ROWS, np.bool_)
        self._items: list[T] = []
        self._rows: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: T) -> None:
        """Put an item in, or in the place of the one with its id."""
        row = self._rows.get(item.id, len(self._items))
        if row == len(self._items):
            if row == len(self._first):
                self._grow()
            self._items.append(item)
        self._items[row] = item
        self._rows[item.id] = row
        self._all[row] = lanes(item.fingerprint)
        self._first[row] = self._all[row, 0]

    def remove(self, id: Hashable) -> None:
        """Put the last row in the place of the one that goes."""
        row = self._rows.pop(id, None)
        if row is None:
            return
        last = self._items.pop()
        if last.id != id:
            self._items[row] = last
            self._rows[last.id] = row
            self._all[row] = self._all[len(self._items)]
            self._first[row] = self._all[row, 0]

    def find(self, fingerprint: str) -> list[T]:
        """Items whose fingerprint is near."""
        count, wanted = len(self._items), lanes(fingerprint)
        counts, is_near = self._counts[:count], self._is_near[:count]
        for start in range(0, count, _BLOCK_ROWS):
            block = self._first[start : min(start + _BLOCK_ROWS, count)]
            differing = np.bitwise_xor(block, wanted[0], out=self._differing[: len(block)])
            np.bitwise_count(differing, out=counts[start : start + len(block)])
        rows = np.less_equal(counts, FIRST_BITS, out=is_near).nonzero()[0]
        if not len(rows):
            return []
        lanes_differing = np.bitwise_count(self._all.take(rows, axis=0) ^ wanted)
        # Whole columns: a sum over four neighbours costs twice the rest. It fits an octet, 20 and three times 64.
        bits = lanes_differing[:, 0] + lanes_differing[:, 1] + lanes_differing[:, 2] + lanes_differing[:, 3]
        return [self._items[row] for row in rows[bits <= NEAR_BITS].tolist()]

    def _grow(self) -> None:
        rows = 2 * len(self._first)
        self._first = np.resize(self._first, rows)
        self._all = np.resize(self._all, (rows, _LANES))
        self._counts = np.zeros(rows, np.uint8)
        self._is_near = np.zeros(rows, np.bool_)

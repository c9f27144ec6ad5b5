"""How much an edge takes on at a time."""

from __future__ import annotations

from collections import Counter

from filterd.errors import Overloaded

_UNDECLARED_BYTES = 65_536
_STEP_BYTES = 1 << 20


class Sessions:
    """Counts connections, in all and per client address."""

    def __init__(self, limit: int, limit_per_address: int) -> None:
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._total = 0
        self._by_address: Counter[str] = Counter()

    def enter(self) -> bool:
        """Whether there is room for one more; it counts from now on."""
        if self._total >= self._limit:
            return False
        self._total += 1
        return True

    def leave(self) -> None:
        """A connection that entered has ended."""
        self._total -= 1

    def enter_address(self, address: str) -> bool:
        """Whether this client may have one more; it counts from now on."""
        if self._by_address[address] >= self._limit_per_address:
            return False
        self._by_address[address] += 1
        return True

    def leave_address(self, address: str) -> None:
        """A connection of this client has ended."""
        self._by_address[address] -= 1
        if self._by_address[address] <= 0:
            del self._by_address[address]


class Budget:
    """Message bytes that may be in memory at a time."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._used = 0

    @property
    def used(self) -> int:
        """Bytes set aside now."""
        return self._used

    def has_room(self, size: int) -> bool:
        """Whether a message of ``size`` bytes, 0 if it does not say, may come; nothing is set aside for it.

        What a client merely announces takes no room: it costs nothing to announce.
        """
        return not self._used or self._used + (size or _UNDECLARED_BYTES) <= self._limit

    def grow(self, reserved: int, size: int) -> int | None:
        """What is set aside for a message once it has grown to ``size`` bytes; None when nothing is left.

        Grows in steps, so that small chunks cost little.
        """
        if size <= reserved:
            return reserved
        wanted = max(size - reserved, min(reserved, _STEP_BYTES))
        if self._used - reserved and self._used + wanted > self._limit:
            return None
        self._used += wanted
        return reserved + wanted

    def release(self, reserved: int) -> None:
        """A message has left memory."""
        self._used -= reserved


class Reservation:
    """What one message takes of the budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._bytes = 0

    def grow(self, size: int) -> None:
        """Set aside room for ``size`` bytes in all. Raises Overloaded."""
        grown = self._budget.grow(self._bytes, size)
        if grown is None:
            raise Overloaded("too many bytes in flight")
        self._bytes = grown

    def release(self) -> None:
        """The message has left memory."""
        self._budget.release(self._bytes)
        self._bytes = 0

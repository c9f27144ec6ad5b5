"""The real clock, and message ids made from it."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime

from filterd.core.envelope import MessageId
from filterd.ports import Clock


class SystemClock:
    """Wall and monotonic time of the machine."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()


def mint_id(clock: Clock) -> MessageId:
    """A new UUIDv7 in hex: sorts by time, 74 random bits. Source: RFC 9562 section 5.7."""
    milliseconds = int(clock.now().timestamp() * 1000)
    value = (milliseconds << 80) | secrets.randbits(80)
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return MessageId(f"{value:032x}")


def first_id(moment: datetime) -> MessageId:
    """Where ids minted at ``moment`` or later begin, by their order."""
    return MessageId(f"{int(moment.timestamp() * 1000):012x}{0:020x}")

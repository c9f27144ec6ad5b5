"""Work on a message that is too long for the event loop when the message is large."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

LARGE_BYTES = 262_144
"""Above this, looking through a message or its headers takes milliseconds."""

T = TypeVar("T")


async def beside_loop(work: Callable[[], T], size_bytes: int, *, above: int = LARGE_BYTES) -> T:
    """What ``work`` returns, done at once for small messages and in a thread for those larger than ``above``.

    A thread holds the interpreter for one step at a time, each a few milliseconds; together they would be too long.
    """
    return work() if size_bytes <= above else await asyncio.to_thread(work)

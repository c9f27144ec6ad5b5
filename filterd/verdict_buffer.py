"""Verdicts on mail behind the reply: nobody waits for the books, and many are written in one transaction.

What a sender is promised never rests on these rows: mail that passed is with the next hop, held mail was committed
with its verdict by ``hold``. While the database is away they wait here, the oldest giving way when there are too
many. A verdict on an SMS is not buffered: the outbox acts on it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Self

from filterd.core.envelope import Channel, Envelope, MessageId
from filterd.core.verdict import Decision, Verdict
from filterd.errors import TemporaryError
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.ports import HeldState, VerdictStore

MOST_WAITING = 10_000
"""Verdicts in memory, a few kilobytes each, before the oldest is given up."""
WINDOW_SECONDS = 0.25
"""From the first verdict of a batch to its transaction: a commit costs a flush of the disk, however many it holds."""
_MOST_WRITTEN = 500
_RETRY_SECONDS = 1.0
_LAST_WRITE_SECONDS = 5.0


class VerdictBuffer:
    """Implements ``ports.VerdictStore`` in front of another; an async context manager, closed before that one."""

    def __init__(self, store: VerdictStore, *, metrics: Metrics, events: Events) -> None:
        self._store = store
        self._metrics = metrics
        self._events = events
        self._waiting: deque[Verdict] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._has_written = False
        """Whether anything of the present batch was: if not, the database is away."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="verdict-buffer")
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Write what waits, within a few seconds; what cannot be written then is counted as lost."""
        self._is_stopping = True
        self._wake.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WRITE_SECONDS):
                    await self._task
        for verdict in self._waiting:
            self._lose(verdict, "the database was away until the end")

    async def record(self, *verdicts: Verdict) -> None:
        """See ``ports.VerdictStore``; returns at once for mail, and never fails for it."""
        mail = [verdict for verdict in verdicts if verdict.channel is Channel.EMAIL]
        others = [verdict for verdict in verdicts if verdict.channel is not Channel.EMAIL]
        self._waiting.extend(mail)
        self._make_room()
        if mail:
            self._wake.set()
        if others:
            await self._store.record(*others)

    async def hold(
        self,
        envelope: Envelope,
        raw: bytes,
        decision: Decision,
        *,
        pending: bool = False,
        policy: str = "",
        is_audit: bool = False,
    ) -> None:
        """See ``ports.VerdictStore``."""
        await self._store.hold(envelope, raw, decision, pending=pending, policy=policy, is_audit=is_audit)

    async def settle(self, id: MessageId, state: HeldState) -> None:
        """See ``ports.VerdictStore``."""
        await self._store.settle(id, state)

    async def _run(self) -> None:
        while self._waiting or not self._is_stopping:
            await self._wake.wait()
            if not self._is_stopping:
                await asyncio.sleep(WINDOW_SECONDS)
            if not await self._flush():
                if self._is_stopping:
                    return
                await asyncio.sleep(_RETRY_SECONDS)
            if not self._waiting and not self._is_stopping:
                self._wake.clear()

    async def _flush(self) -> bool:
        """Write the oldest; False, with all of them kept, when the database takes none."""
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_WRITTEN))]
        self._has_written = False
        left = await self._write(batch)
        if batch and len(left) == len(batch):
            # Another one comes first next time: one that can never be written must not hold up the others.
            self._waiting.extend(left[:1])
            self._waiting.extendleft(reversed(left[1:]))
            self._make_room()
            return False
        for verdict in left:
            self._lose(verdict, "the database takes others, but not this one")
        return True

    async def _write(self, batch: Sequence[Verdict]) -> Sequence[Verdict]:
        """Those that could not be written: in pieces until what is to blame is alone, or all when no piece goes."""
        if not batch:
            return ()
        try:
            await self._store.record(*batch)
        except TemporaryError:
            if len(batch) == 1:
                return batch
            middle = len(batch) // 2
            left = await self._write(batch[:middle])
            if not self._has_written:
                return batch
            return (*left, *await self._write(batch[middle:]))
        self._has_written = True
        return ()

    def _make_room(self) -> None:
        while len(self._waiting) > MOST_WAITING:
            self._lose(self._waiting.popleft(), f"{MOST_WAITING} verdicts are waiting")

    def _lose(self, verdict: Verdict, why: str) -> None:
        self._metrics.record_failures.inc()
        self._events.record_failed(verdict.id, why)

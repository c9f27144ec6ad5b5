"""What would be done with a message: it is judged as one that comes in, and leaves no trace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

from filterd.core.envelope import Channel, Envelope, MessageId, Recipient
from filterd.core.parts import Judged
from filterd.core.verdict import Decision, Reason
from filterd.errors import MessageTooLarge, Overloaded, ScanDown
from filterd.ports import Clock

Judge = Callable[[Envelope, bytes], Awaitable[Sequence[Judged]]]
MOST_AT_ONCE = 4
"""Of one worker. Scanners are there for messages that come in; questions take what few places they can."""


class Checking:
    """Judges messages that nobody has sent."""

    def __init__(self, judge: Judge, *, clock: Clock, most_bytes: int) -> None:
        """``most_bytes`` is the size of the largest message that is judged."""
        self._judge = judge
        self._clock = clock
        self.most_bytes = most_bytes
        self._running = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the ``MOST_AT_ONCE`` places; what holds it has a large body in memory. Raises Overloaded."""
        if self._running >= MOST_AT_ONCE:
            raise Overloaded("too many messages are being checked")
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def check(self, channel: Channel, raw: bytes, sender: str, recipient: str) -> Decision:
        """What would be done with ``raw``; an empty ``recipient`` has no rules but those for everybody.

        Raises MessageTooLarge, and ScanDown where nothing can be scored or too many messages wait for a scanner.
        """
        if len(raw) > self.most_bytes:
            raise MessageTooLarge
        envelope = Envelope(
            id=MessageId(""),
            channel=channel,
            sender=sender,
            recipients=(Recipient(address=recipient),),
            received_at=self._clock.now(),
        )
        (judged,) = await self._judge(envelope, raw)
        if judged.decision.reason is Reason.SCAN_DOWN:
            raise ScanDown
        return judged.decision

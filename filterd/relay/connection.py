"""One connection to the next hop: commands out, replies in, in order.

What arrives without having been asked for ends the connection, and so does a reply that comes too late: a
connection whose replies and commands might be paired wrongly is never used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from filterd.core.smtp_reply import Offers, ReplyParser
from filterd.core.verdict import Reply
from filterd.errors import RelayUnavailable

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_CLOSING = 421
DRAIN_ABOVE_BYTES = 65_536
"""A message above this leaves the process before its final dot is written: until then its loss is certain."""


class Connection(asyncio.Protocol):
    """An SMTP or LMTP client connection."""

    def __init__(self, on_lost: Callable[[Connection], None]) -> None:
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._parser = ReplyParser()
        self._waiting: deque[asyncio.Future[Reply]] = deque()
        self._writable = asyncio.Event()
        self._writable.set()
        self._failure: RelayUnavailable | None = None
        self.greeting: asyncio.Future[Reply] = self.expect()[0]
        self.offers = Offers()
        self.is_reused = False
        self.is_encrypted = False
        self.is_parting = False

    # --- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start, or go on under TLS."""
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand each reply to the command that waits for it."""
        try:
            replies = self._parser.feed(data)
        except RelayUnavailable as exc:
            self.fail(exc)
            return
        for reply in replies:
            if not self._waiting:
                self.fail(RelayUnavailable(f"next hop sent {reply.code} unasked"))
                return
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(reply)
            if reply.code == _CLOSING:
                self._answer_all(reply)

    def _answer_all(self, reply: Reply) -> None:
        """A server that says 421 answers nothing else (RFC 5321 section 3.8)."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(reply)
        self.fail(RelayUnavailable("next hop closed the session"))

    def eof_received(self) -> bool:
        """The next hop is done: so are we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits."""
        self._close(RelayUnavailable(f"connection to next hop lost: {type(exc).__name__ if exc else 'closed'}"))

    def pause_writing(self) -> None:
        """Called by the transport."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Called by the transport."""
        self._writable.set()

    # --- called by the transaction

    @property
    def is_usable(self) -> bool:
        """Whether a command may be written: nothing failed and no reply is outstanding."""
        return self._failure is None and not self._waiting and self._parser.is_clean

    def expect(self, count: int = 1) -> list[asyncio.Future[Reply]]:
        """Places in the queue of replies. Raises RelayUnavailable when the connection is gone."""
        if self._failure is not None:
            raise RelayUnavailable(self._failure.detail)
        futures = [asyncio.get_running_loop().create_future() for _ in range(count)]
        self._waiting.extend(futures)
        return futures

    async def replies(self, futures: Sequence[asyncio.Future[Reply]], seconds: float) -> list[Reply]:
        """The replies to come, in order. Raises RelayUnavailable; a timeout or cancellation ends the connection."""
        # Failing the connection ends the wait: cheaper than a timeout that cancels the task.
        late = RelayUnavailable("next hop did not answer in time")
        timer = asyncio.get_running_loop().call_later(seconds, self.fail, late)
        try:
            return [await future for future in futures]
        except asyncio.CancelledError:
            self.fail(RelayUnavailable("given up"))
            raise
        finally:
            timer.cancel()
            for future in futures:
                if future.done() and not future.cancelled():
                    future.exception()

    async def command(self, lines: Sequence[str], seconds: float) -> list[Reply]:
        """The replies to ``lines``: in one write where the next hop allows pipelining (RFC 2920)."""
        if len(lines) > 1 and "PIPELINING" not in self.offers:
            return [reply for line in lines for reply in await self.command([line], seconds)]
        futures = self.expect(len(lines))
        self.write("".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape"))
        return await self.replies(futures, seconds)

    def write(self, data: bytes) -> None:
        """Send octets."""
        if self._transport is not None and self._failure is None:
            self._transport.write(data)

    async def drained(self) -> None:
        """Wait until everything written has left the process. Raises RelayUnavailable."""
        transport = self._transport
        if transport is None or self._failure is not None:
            raise RelayUnavailable("next hop closed the connection")
        transport.set_write_buffer_limits(high=0)
        try:
            await self._writable.wait()
        finally:
            transport.set_write_buffer_limits()
        if self._failure is not None:
            raise RelayUnavailable(self._failure.detail)

    def reset(self, on_ready: Callable[[Connection], None]) -> None:
        """End a transaction; ``on_ready`` is called once the connection can be used again."""
        try:
            (future,) = self.expect()
        except RelayUnavailable:
            return
        self.write(b"RSET\r\n")

        def done(future: asyncio.Future[Reply]) -> None:
            if future.cancelled() or future.exception() is not None:
                return
            if future.result().code == 250 and self.is_usable:
                on_ready(self)
            else:
                self.fail(RelayUnavailable("next hop refused RSET"))

        future.add_done_callback(done)

    async def start_tls(self, context: ssl.SSLContext, name: str, seconds: float) -> None:
        """Go on under TLS. Raises RelayUnavailable, also for octets sent ahead of the handshake (CVE-2016-0772)."""
        assert self._transport is not None
        if not self.is_usable:
            raise RelayUnavailable("next hop sent data ahead of the TLS handshake")
        transport = self._transport
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                transport, self, context, server_hostname=name, ssl_handshake_timeout=seconds
            )
        except (OSError, ssl.SSLError, TimeoutError) as exc:
            raise RelayUnavailable(f"TLS with the next hop failed: {type(exc).__name__}") from exc
        self._transport = cast("asyncio.Transport", encrypted)  # as above
        self.is_encrypted = True

    def quit(self) -> None:
        """Part politely."""
        self.is_parting = True
        with contextlib.suppress(RelayUnavailable):
            self.expect()
            self.write(b"QUIT\r\n")
        if self._transport is not None:
            self._transport.close()

    def fail(self, why: RelayUnavailable) -> None:
        """Drop the connection with a reset: a plain close inside a message could be taken for its end."""
        transport = self._transport
        self._close(why)
        if transport is not None:
            sock = transport.get_extra_info("socket")
            if sock is not None and not transport.is_closing():
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()

    def _close(self, why: RelayUnavailable) -> None:
        if self._failure is not None:
            return
        self._failure = why
        self._writable.set()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(RelayUnavailable(why.detail))
                future.exception()  # a reply nobody waits for any more is no unhandled error
        self._on_lost(self)

"""aiosmtpd's protocol with its socket handling replaced: the only module that touches its private names.

aiosmtpd 1.4.6 as it comes cancels the handler when the client half-closes, reads DATA line by line and refuses long
lines, takes commands that end with LF alone, and answers exceptions with their text. What remains of it here is the
connection, its reader and writer, and STARTTLS. ``tests/filterd/test_edges_smtp_wire.py`` has a test per private name.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from typing import Any

from aiosmtpd.smtp import SMTP, TLSSetupException

from filterd.core.smtp_data import DataReceiver
from filterd.core.verdict import Reply
from filterd.edges.smtp_replies import IDLE_TOO_LONG, MESSAGE_OVERRUN, TOO_SLOW

MAX_COMMAND_BYTES = 2048
CLOSE_SECONDS = 5.0
"""How long the last reply may take to leave before the connection is cut."""


class ClientGone(Exception):
    """The client has closed the connection, or its sending side."""


class BadLine(Exception):
    """A command line that is too long or does not end with CRLF."""

    def __init__(self, *, is_long: bool) -> None:
        super().__init__()
        self.is_long = is_long


class MessageBroken(Exception):
    """The message will not arrive: too slow, or far too large."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self.reply = reply


@lru_cache(maxsize=256)
def _rendered(reply: Reply) -> bytes:
    """A reply as it goes out; most are said again and again."""
    return reply.render().encode("ascii", "replace") + b"\r\n"


class _NoHooks:
    """aiosmtpd asks its handler for hooks; every command is ours."""

    def __dir__(self) -> list[str]:
        return []


class Wire(SMTP):  # type: ignore[misc]  # aiosmtpd's types are not checked
    """One connection: lines in, replies out, messages in bulk. ``run`` is the dialogue."""

    line_length_limit = MAX_COMMAND_BYTES
    command_size_limits: dict[str, int] = {}  # noqa: RUF012  # aiosmtpd's is shared by all connections; unused here

    def __init__(self, *, hostname: str, tls_context: ssl.SSLContext | None, idle_seconds: float) -> None:
        super().__init__(
            _NoHooks(),
            hostname=hostname,
            enable_SMTPUTF8=True,
            tls_context=tls_context,
            timeout=idle_seconds,
            loop=asyncio.get_running_loop(),
        )
        self._out = bytearray()
        self._receiver: DataReceiver | None = None
        self._arrived: asyncio.Future[None] | None = None
        self._is_over = False
        self.is_waiting = False
        """Whether the session waits for a command, so that it may be closed."""

    def __dir__(self) -> list[str]:
        """Nothing: aiosmtpd looks through every attribute of every connection for commands, which costs 0.1 ms."""
        return []

    # --- the dialogue, supplied by the session

    async def run(self) -> None:
        """Speak until the session is over."""
        raise NotImplementedError

    def over(self) -> None:
        """Clean up; called once."""

    def failed(self, error: BaseException) -> None:
        """Report an exception nothing else caught."""

    def is_affordable(self, receiver: DataReceiver) -> bool:
        """Whether the message may grow to what has been received."""
        raise NotImplementedError

    # --- reading

    @property
    def has_input(self) -> bool:
        """Whether the client has sent more than was read."""
        return bool(self._reader._buffer)  # noqa: SLF001  # StreamReader has no way to look ahead

    @property
    def is_encrypted(self) -> bool:
        """Whether TLS is on."""
        return self._tls_protocol is not None

    async def read_line(self) -> bytes:
        """The next command without its CRLF. Raises ClientGone or BadLine."""
        if b"\n" not in self._reader._buffer:  # noqa: SLF001  # the same
            await self.flush()
            self._reset_timeout()
            self.is_waiting = True
        try:
            line: bytes = await self._reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, OSError):
            raise ClientGone from None
        except asyncio.LimitOverrunError:
            raise BadLine(is_long=True) from None
        finally:
            self.is_waiting = False
            self.stop_timeout()
        if len(line) > MAX_COMMAND_BYTES:
            raise BadLine(is_long=True)
        if not line.endswith(b"\r\n"):
            raise BadLine(is_long=False)
        return line[:-2]

    async def read_exactly(self, count: int) -> bytes:
        """``count`` octets. Raises ClientGone."""
        try:
            return bytes(await self._reader.readexactly(count))
        except (asyncio.IncompleteReadError, OSError):
            raise ClientGone from None

    async def receive(self, receiver: DataReceiver, *, seconds: float, credit: float, rate: int) -> None:
        """Wait until ``receiver`` has a whole message.

        It may take ``credit`` seconds and one more for every ``rate`` bytes, and ``seconds`` in all. Raises
        ClientGone or MessageBroken.
        """
        if self._reader.at_eof():
            raise ClientGone  # it closed its side with the command: nobody will say so again
        start = self.loop.time()
        self._receiver = receiver
        self._arrived = self.loop.create_future()
        self._check_speed(start, seconds, credit, rate)
        try:
            await self._arrived
        finally:
            self._receiver = None
            self.stop_timeout()

    def _check_speed(self, start: float, seconds: float, credit: float, rate: int) -> None:
        """Give up a message that is too slow, or look again when its time so far would be over."""
        receiver = self._receiver
        if receiver is None:
            return
        earned = credit + receiver.received / rate if rate else seconds
        limit = start + min(seconds, earned)
        if self.loop.time() < limit:
            self.stop_timeout()
            self._timeout_handle = self.loop.call_at(limit, self._check_speed, start, seconds, credit, rate)
        else:
            self._break(MessageBroken(TOO_SLOW))

    def data_received(self, data: bytes) -> None:
        """Octets of a message go to its receiver in bulk, everything else to the line reader."""
        receiver = self._receiver
        if receiver is None:
            super().data_received(data)
            return
        rest = receiver.feed(data)
        if rest is None:
            if receiver.is_overrun:
                self._break(MessageBroken(MESSAGE_OVERRUN))
            elif not receiver.is_dropped and not self.is_affordable(receiver):
                receiver.drop()
            return
        self._receiver = None
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)
        if rest:
            super().data_received(rest)

    def eof_received(self) -> bool:
        """A client may close its sending side and still wait for the reply: nothing is cancelled."""
        self._break(ClientGone())
        self._reader.feed_eof()
        return not self.is_encrypted

    def _break(self, error: Exception) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_exception(error)

    # --- writing

    def reply(self, reply: Reply) -> None:
        """Queue a reply; it leaves when the session waits for the client, so that replies share a packet."""
        self._out += _rendered(reply)

    async def flush(self) -> None:
        """Send what is queued. Raises ClientGone."""
        if not self._out:
            return
        data, self._out = bytes(self._out), bytearray()
        if self.transport is None:
            raise ClientGone
        self.transport.write(data)
        if not self.transport.get_write_buffer_size():
            return
        try:
            self._reset_timeout()
            await self._writer.drain()
        except ConnectionError:
            raise ClientGone from None
        finally:
            self.stop_timeout()

    def hang_up(self, reply: Reply | None = None) -> None:
        """Say ``reply`` and close; what cannot be sent within 5 seconds is dropped."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if reply is not None:
            self.reply(reply)
        if self._out:
            transport.write(bytes(self._out))
            self._out.clear()
        transport.close()
        if transport.get_write_buffer_size():
            self.loop.call_later(CLOSE_SECONDS, transport.abort)

    def cut(self) -> None:
        """Drop the connection."""
        if self.transport is not None:
            self.transport.abort()

    async def start_tls(self) -> None:
        """Continue under TLS with a fresh session. Raises ClientGone."""
        await self.flush()
        try:
            async with asyncio.timeout(self._timeout_duration):
                await self._handshake()
        except (TLSSetupException, TimeoutError, ConnectionError):
            raise ClientGone from None

    async def _handshake(self) -> None:
        await super().smtp_STARTTLS("")

    async def push(self, status: str | bytes) -> None:
        """Called by aiosmtpd's STARTTLS."""
        self._out += (status.encode("ascii", "replace") if isinstance(status, str) else status) + b"\r\n"
        await self.flush()

    # --- life of the connection

    def stop_timeout(self) -> None:
        """The session is busy: its limits are those of what it does."""
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()

    def _timeout_cb(self) -> None:
        self.hang_up(IDLE_TOO_LONG)

    async def _handle_client(self) -> None:
        """Aiosmtpd starts this as a task when the connection is made."""
        try:
            await self.run()
        except ClientGone:
            pass
        except Exception as exc:  # noqa: BLE001  # the last resort: nothing may end the worker
            self.failed(exc)
        finally:
            if not self._is_over:
                self._is_over = True
                self.over()
            self.hang_up()

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone. Work on a whole message goes on in its own task."""
        self._break(ClientGone())
        super().connection_lost(error)

    async def handle_exception(self, error: Exception) -> Any:
        """Never reached: ``_handle_client`` is ours."""
        raise error

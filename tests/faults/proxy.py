"""Connections that break on purpose: an SMTP proxy that reads along, and a plain one for everything else.

Toxics after Toxiproxy's. A fault is set from outside and holds until it is cleared; connections and threads of the
test do not see each other, a fault is one attribute.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_STEP_SECONDS = 0.01
"""Between two octets of a slow reply: a reply takes a third of a second."""
_CHUNK = 4_096
GARBAGE = b"\xff\xfe\x00what is this?\r\n"


class Kind(StrEnum):
    """What happens."""

    REFUSE = "refuse"
    """Connections are reset, and new ones are refused."""
    SOFT = "4xx"
    HARD = "5xx"
    CLOSING = "421"
    HANG = "hang"
    HALF_CLOSE = "half-close"
    RESET = "reset"
    SLOW = "slow"
    GARBAGE = "garbage"


REPLIES = {
    Kind.SOFT: b"450 4.2.0 not now\r\n",
    Kind.HARD: b"554 5.7.1 not here\r\n",
    Kind.CLOSING: b"421 4.3.2 going away\r\n",
    Kind.GARBAGE: GARBAGE,
}


class Where(StrEnum):
    """What the next hop is being told when it happens."""

    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    DOT_LOST = "dot-lost"
    """The final dot does not arrive."""
    DOT = "dot"
    """It arrives, and the next hop has taken the message when it happens."""
    QUIT = "quit"
    RSET = "rset"


VERBS = {b"MAIL": Where.MAIL, b"RCPT": Where.RCPT, b"DATA": Where.DATA, b"QUIT": Where.QUIT, b"RSET": Where.RSET}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault."""

    kind: Kind
    where: Where | None = None
    """None: at once and everywhere."""


class _Struck(Exception):
    """The connection has met its fault."""


class Proxy:
    """Passes connections on to ``target``, a port or the path of a socket, octet for octet, but for the fault."""

    def __init__(self, target: int | Path, *, listen: Path | None = None) -> None:
        self._target = target
        self._listen = listen
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._port = 0
        self._cleared = asyncio.Event()
        self.fault: Fault | None = None
        self.struck = 0
        """How often the fault was met."""

    async def start(self) -> int:
        """Listen; the port, 0 where it is a path."""
        self._loop = asyncio.get_running_loop()
        await self._open()
        return self._port

    async def stop(self) -> None:
        """Cut everything."""
        self._cleared.set()
        self._cut()
        if self._server is not None:
            self._server.close()

    def set(self, fault: Fault | None) -> None:
        """Let the fault hold from now on; None clears it. Called from any thread, and done when it returns."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._set(fault), self._loop).result(10)

    async def _set(self, fault: Fault | None) -> None:
        self.fault = fault
        if fault is None:
            # What hangs, hangs no longer.
            self._cleared.set()
            self._cleared = asyncio.Event()
            self._cut()
            await self._open()
        elif fault.where is None and fault.kind is Kind.REFUSE:
            self._refuse()
        elif fault.where is None and fault.kind is Kind.RESET:
            self._cut()

    async def _open(self) -> None:
        if self._server is not None and self._server.is_serving():
            return
        if self._listen is not None:
            self._listen.unlink(missing_ok=True)
            self._server = await asyncio.start_unix_server(self._serve, self._listen)
            self._listen.chmod(0o777)
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._listen is not None:
            self._listen.unlink(missing_ok=True)
        self._cut()

    def _cut(self) -> None:
        for writer in list(self._writers):
            reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            if isinstance(self._target, Path):
                back, there = await asyncio.open_unix_connection(self._target)
            else:
                back, there = await asyncio.open_connection("127.0.0.1", self._target)
            await self._pass(reader, writer, back, there)
        except (OSError, asyncio.IncompleteReadError, _Struck):
            pass
        finally:
            # The other end must not take what it has for whole.
            self._writers.discard(writer)
            if there is not None:
                reset(there)
            writer.close()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        there: asyncio.StreamWriter,
    ) -> None:
        """Octets in both directions; the fault is met with the next ones the server says, or the client."""
        async with asyncio.TaskGroup() as group:
            to_there = group.create_task(self._copy(reader, there, writer))
            to_here = group.create_task(self._copy(back, writer, writer))
            await asyncio.wait((to_there, to_here), return_when=asyncio.FIRST_COMPLETED)
            to_there.cancel()
            to_here.cancel()

    async def _copy(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError, _Struck):
            while data := await source.read(_CHUNK):
                fault = self.fault
                if fault is not None and fault.kind is Kind.SLOW:
                    self.struck += 1
                    await asyncio.sleep(_STEP_SECONDS * 3)
                elif fault is not None:
                    await self.strike(fault, client)
                sink.write(data)
                await sink.drain()

    async def strike(self, fault: Fault, client: asyncio.StreamWriter) -> None:
        """Do to the client what the fault says. Raises _Struck when the connection cannot go on."""
        self.struck += 1
        if fault.kind in REPLIES:
            client.write(REPLIES[fault.kind])
            await client.drain()
            if fault.kind in (Kind.SOFT, Kind.HARD):
                return
        elif fault.kind is Kind.HANG:
            await self._cleared.wait()
        elif fault.kind is Kind.HALF_CLOSE:
            client.write_eof()
            await self._cleared.wait()
        elif fault.kind is Kind.REFUSE:
            self._refuse()
        elif fault.kind is Kind.RESET:
            reset(client)
        raise _Struck


class SmtpProxy(Proxy):
    """Knows what the next hop is being told, so that a fault can wait for its moment."""

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        there: asyncio.StreamWriter,
    ) -> None:
        await _reply(back, writer)
        while line := await reader.readline():
            where = VERBS.get(line[:4].upper())

            async def ask(line: bytes = line) -> None:
                there.write(line)
                await there.drain()

            answer = await self._step(where, writer, back, ask)
            if where is Where.DATA and answer.startswith(b"354"):
                await self._message(reader, writer, back, there)

    async def _step(
        self,
        where: Where | None,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        ask: Callable[[], Awaitable[None]],
    ) -> bytes:
        """Pass a command on and its reply back, unless its moment has come; the reply."""
        fault = self.fault
        if fault is None or fault.where is not where or where is None:
            await ask()
            return await _reply(back, writer)
        if fault.kind is Kind.SLOW:
            self.struck += 1
            await ask()
            return await _reply(back, writer, is_slow=True)
        await self.strike(fault, writer)
        return b""

    async def _message(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        back: asyncio.StreamReader,
        there: asyncio.StreamWriter,
    ) -> None:
        seen, passed = b"\r\n", 0
        while not seen.endswith(b"\r\n.\r\n"):
            if not (chunk := await reader.read(_CHUNK)):
                raise _Struck
            is_last = (seen + chunk).endswith(b"\r\n.\r\n")
            if passed and self._is_now(Where.BODY):
                await self._body(reader, writer)
            if is_last and self._is_now(Where.DOT_LOST):
                await self._dot(writer, _nothing)
                return
            seen = (seen + chunk)[-5:]
            there.write(chunk)
            await there.drain()
            passed += len(chunk)
        if self._is_now(Where.DOT):
            await self._dot(writer, lambda: _read_reply(back))
            return
        await _reply(back, writer)

    def _is_now(self, where: Where) -> bool:
        return self.fault is not None and self.fault.where is where

    async def _body(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fault = self.fault
        assert fault is not None
        if fault.kind is Kind.SLOW:
            self.struck += 1
            await asyncio.sleep(_STEP_SECONDS / 5)
            return
        await self.strike(fault, writer)
        # It has said no in the middle: it listens to the rest and takes nothing.
        while await reader.read(_CHUNK):
            pass
        raise _Struck

    async def _dot(self, writer: asyncio.StreamWriter, taken: Callable[[], Awaitable[bytes]]) -> None:
        fault = self.fault
        assert fault is not None
        reply = await taken()
        if fault.kind is Kind.SLOW:
            self.struck += 1
            await _slowly(writer, reply or REPLIES[Kind.SOFT])
            if reply:
                return
            raise _Struck
        await self.strike(fault, writer)
        raise _Struck


async def _nothing() -> bytes:
    return b""


async def _read_reply(back: asyncio.StreamReader) -> bytes:
    reply = b""
    while line := await back.readline():
        reply += line
        if line[3:4] != b"-":
            return reply
    raise _Struck


async def _reply(back: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_slow: bool = False) -> bytes:
    """Pass one reply back, octet by octet where it takes time; it."""
    reply = await _read_reply(back)
    if not is_slow:
        writer.write(reply)
    else:
        await _slowly(writer, reply)
    await writer.drain()
    return reply


async def _slowly(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Octet by octet."""
    for octet in data:
        writer.write(bytes([octet]))
        await asyncio.sleep(_STEP_SECONDS)


def reset(writer: asyncio.StreamWriter) -> None:
    """Drop a connection with RST."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX and not writer.is_closing():
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()

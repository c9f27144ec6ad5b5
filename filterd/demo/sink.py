"""A next hop that keeps what it is given: every message becomes a file. For the demo and for trying things out.

Speaks enough of RFC 5321 for one well-behaved client on loopback; it is not a mail server.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

_OFFERS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN")
_LINE_LIMIT = 65_536
_STEP_SECONDS = 10.0
"""Longest wait for the sink's thread to start or stop it."""


class Service(Protocol):
    """What ``on_a_thread`` runs."""

    async def start(self) -> int:
        """Listen; the port in use."""
        ...

    async def stop(self) -> None:
        """Stop listening and cut what is open."""
        ...


class MailSink:
    """Accepts mail on a loopback port and writes it to ``folder`` as ``1.eml``, ``2.eml`` ...

    A recipient whose local part is ``nobody`` does not exist here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; the port in use."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._server = await asyncio.start_server(self._session, host, port, limit=_LINE_LIMIT)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening and cut what is open."""
        if self._server is None:
            return
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 sink ESMTP\r\n")
        recipients = 0
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb in {b"EHLO", b"LHLO"}:
                writer.write(_ehlo())
            elif verb == b"RCPT" and b"<nobody@" in line.lower():
                writer.write(b"550 5.1.1 No such user\r\n")
            elif verb == b"RCPT":
                recipients += 1
                writer.write(b"250 2.1.5 Ok\r\n")
            elif verb == b"DATA" and not recipients:
                writer.write(b"503 5.5.1 No recipients\r\n")
            elif verb == b"DATA":
                writer.write(b"354 Go ahead\r\n")
                await writer.drain()
                self._keep(await _read_data(reader))
                recipients = 0
                writer.write(b"250 2.0.0 Ok: kept as %d\r\n" % self.count)
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 Bye\r\n")
                return
            else:
                if verb in {b"MAIL", b"RSET", b"HELO"}:
                    recipients = 0
                writer.write(b"250 2.0.0 Ok\r\n")
            await writer.drain()

    def _keep(self, raw: bytes) -> None:
        """Under its name a message is there whole: whoever waits for it reads it at once."""
        self.count += 1
        draft = self.folder / f".{self.count}.new"
        draft.write_bytes(raw)
        draft.replace(self.folder / f"{self.count}.eml")


@contextmanager
def on_a_thread(service: Service) -> Iterator[int]:
    """Run ``service`` on an event loop and a thread of its own, beside code that blocks; yields its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(service.start(), loop).result(timeout=_STEP_SECONDS)
    finally:
        asyncio.run_coroutine_threadsafe(service.stop(), loop).result(timeout=_STEP_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=_STEP_SECONDS)
        loop.close()


def _ehlo() -> bytes:
    lines = ["250-sink", *(f"250-{offer}" for offer in _OFFERS[:-1]), f"250 {_OFFERS[-1]}"]
    return ("\r\n".join(lines) + "\r\n").encode()


async def _read_data(reader: asyncio.StreamReader) -> bytes:
    """The message without dot-stuffing (RFC 5321 section 4.5.2)."""
    lines: list[bytes] = []
    while True:
        try:
            line = await reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError as exc:
            line = await reader.readexactly(exc.consumed)
        if line == b".\r\n" and (not lines or lines[-1].endswith(b"\r\n")):
            return b"".join(lines)
        is_start = not lines or lines[-1].endswith(b"\r\n")
        lines.append(line[1:] if is_start and line.startswith(b".") else line)

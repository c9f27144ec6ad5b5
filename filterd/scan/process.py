"""One scanner process seen from the worker: start it, ask it, end it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Callable, Mapping
from types import MappingProxyType

from filterd.core.envelope import Channel
from filterd.errors import ScanDown
from filterd.forking import SCANNER, Started, Zygote, started
from filterd.scan.frames import Answer, Ready, Request, Setup, head, pack, read_frame, unpack

WORKER_MODULE = "filterd.scan.worker"
_BUFFER_BYTES = 1 << 20

CANARIES: Mapping[Channel, bytes] = MappingProxyType(
    {
        Channel.EMAIL: b"From: canary@example.org\r\nSubject: canary\r\n\r\nAnything at all?\r\n",
        Channel.SMS: b"Anything at all?",
    }
)
"""Messages that any scanner can score: one that cannot is a fault of ours, not of a message."""


class _Reader(asyncio.StreamReader):
    """A stream that says when it ends, although nobody reads it."""

    on_end: Callable[[], None] | None = None

    def feed_eof(self) -> None:
        super().feed_eof()
        if self.on_end is not None:
            self.on_end()


class ScannerProcess:
    """A running scanner; answers one request at a time."""

    def __init__(self, process: Started, reader: _Reader, writer: asyncio.StreamWriter) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.ready = Ready(models={}, refused={})
        self.generation = 0

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None and not self._reader.at_eof()

    @classmethod
    async def start(
        cls, setup: Setup, timeout_seconds: float, module: str = WORKER_MODULE, zygote: Zygote | None = None
    ) -> ScannerProcess:
        """A scanner that has loaded its bundles and scored a canary. Raises ScanDown."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                forks = zygote if module == WORKER_MODULE else None
                files = [theirs.fileno()]
                process = await started(SCANNER, module, files, forks, output=subprocess.DEVNULL)
            except OSError as exc:
                ours.close()
                raise ScanDown(f"no scanner can be started: {exc.strerror}") from None
        loop = asyncio.get_running_loop()
        reader = _Reader(limit=_BUFFER_BYTES, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_unix_connection(lambda: protocol, sock=ours)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        scanner = cls(process, reader, writer)
        try:
            async with asyncio.timeout(timeout_seconds):
                await scanner._greet(setup)
        except BaseException as exc:
            await scanner.end()
            if isinstance(exc, TimeoutError):
                raise ScanDown("a scanner does not start in time") from None
            if isinstance(exc, EOFError | OSError | ValueError):
                raise ScanDown("a scanner ends as soon as it starts") from None
            raise
        return scanner

    def watch(self, on_end: Callable[[], None]) -> None:
        """Call ``on_end`` once the process is gone, unless this side ends it; at once if it is gone already."""
        self._reader.on_end = on_end
        if not self.is_alive:
            on_end()

    async def ask(self, request: Request, raw: bytes, timeout_seconds: float) -> Answer:
        """The answer. Raises TimeoutError, or EOFError, OSError or ValueError when the scanner is lost."""
        length = head(raw)
        async with asyncio.timeout(timeout_seconds):
            self._writer.write(pack(request) + length)
            self._writer.write(raw)
            await self._writer.drain()
            return unpack(await read_frame(self._reader), Answer)

    async def end(self) -> None:
        """Kill the process, whatever it does, and wait until it is gone."""
        self._reader.on_end = None
        self._writer.close()
        if self._process.poll() is None:
            self._process.kill()
        await asyncio.shield(asyncio.to_thread(self._process.wait))

    async def _greet(self, setup: Setup) -> None:
        self._writer.write(pack(setup))
        self.ready = unpack(await read_frame(self._reader), Ready)
        for channel in self.ready.models:
            answer = await self.ask(Request(channel=channel), CANARIES[channel], setup.cpu_seconds)
            if answer.scan is None:
                raise ScanDown(f"the canary of {channel.value} fails: {answer.detail}")

"""A mail server's half of the milter protocol, written from its description, and a gateway for it to ask."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from filterd.clock import SystemClock
from filterd.core.envelope import Channel
from filterd.core.headers import Stamp
from filterd.core.policy import Policy
from filterd.edge_settings import MilterSettings
from filterd.edges.milter import MilterEdge
from filterd.fuzzy.memory import ReportedMemory
from filterd.inference.online import SiteWeights
from filterd.log import AddressMask, Events
from filterd.metrics import Metrics
from filterd.pipeline import Pipeline, Settings
from filterd.testing import FakeScanner, MemoryStore, RecordingRelay

LIMIT_SECONDS = 10.0
ALL_ACTIONS = 0x1FF
ALL_STEPS = 0x1FFFFF
"""What Postfix offers."""
HEADERS = ((b"From", b" a@example.org"), (b"Subject", b" hello"))
HAM = b"how are you\r\n"
SPAM = b"SPAM\r\n"

Frame = tuple[bytes, bytes]
Field = tuple[bytes, bytes]


def frame(command: bytes, data: bytes = b"") -> bytes:
    """A frame on the wire."""
    return struct.pack("!I", len(data) + 1) + command + data


def strings(*parts: bytes) -> bytes:
    """Strings with their ends."""
    return b"".join(part + b"\0" for part in parts)


def frames_in(data: bytes) -> list[Frame]:
    """The frames in whole octets."""
    found = []
    while data:
        (length,) = struct.unpack_from("!I", data)
        found.append((data[4:5], data[5 : 4 + length]))
        data = data[4 + length :]
    return found


def changed(headers: Iterable[Field], answer: Iterable[Frame], *, is_spaced: bool = True) -> list[Field]:
    """The header fields after what a filter asks for, as Postfix does it: removed fields do not count any more."""
    fields, gap = list(headers), b"" if is_spaced else b" "
    for command, data in answer:
        if command == b"i":
            name, value = data[4:-1].split(b"\0")
            fields.insert(int.from_bytes(data[:4], "big"), (name, gap + value))
        elif command == b"m":
            name, value = data[4:-1].split(b"\0")
            places = [i for i, (other, _) in enumerate(fields) if other.lower() == name.lower()]
            at = places[int.from_bytes(data[:4], "big") - 1]
            fields[at : at + 1] = [(name, gap + value)] if value else []
    return fields


class MailServer:
    """A mail server that says what it is told to, and knows which of it is answered."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.steps = 0
        self.version = 0
        self.actions = 0

    async def frame(self) -> Frame:
        """The next frame; empty when the filter has closed."""
        async with asyncio.timeout(LIMIT_SECONDS):
            try:
                length = int.from_bytes(await self.reader.readexactly(4), "big")
                data = await self.reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                return b"", b""
        return data[:1], data[1:]

    def send(self, command: bytes, data: bytes = b"") -> None:
        """A frame, whatever it means."""
        self.writer.write(frame(command, data))

    async def negotiate(self, version: int = 6, actions: int = ALL_ACTIONS, steps: int = ALL_STEPS) -> bool:
        """Offer; whether the filter takes it."""
        self.send(b"O", struct.pack("!III", version, actions, steps))
        command, data = await self.frame()
        if command:
            self.version, self.actions, self.steps = struct.unpack_from("!III", data)
        return command == b"O"

    async def say(self, command: bytes, data: bytes = b"", *, spared: int) -> bytes:
        """The one answer to a command, empty where ``spared`` of the agreement spares it."""
        self.send(command, data)
        return b"" if self.steps & spared else (await self.frame())[0]

    async def connect(self, *, name: bytes, address: bytes, port: int, helo: bytes = b"client.example") -> None:
        """A client has come."""
        data = strings(name) + b"4" + struct.pack("!H", port) + strings(address)
        await self.say(b"C", data, spared=0x1000)
        await self.say(b"H", strings(helo), spared=0x2000)

    async def begin(
        self, sender: bytes = b"<a@example.org>", recipients: Sequence[bytes] = (b"<b@example.net>",)
    ) -> None:
        """MAIL and RCPT."""
        await self.say(b"M", strings(sender), spared=0x4000)
        for recipient in recipients:
            await self.say(b"R", strings(recipient), spared=0x8000)

    async def show(self, headers: Iterable[Field] = HEADERS, body: bytes = HAM) -> None:
        """The message but for its end."""
        for name, value in headers:
            shown = value if self.steps & 0x100000 else value.removeprefix(b" ")
            await self.say(b"L", strings(name, shown), spared=0x80)
        if not self.steps & 0x40:
            await self.say(b"N", spared=0x40000)
        for at in range(0, len(body), 65_535):
            await self.say(b"B", body[at : at + 65_535], spared=0x80000)

    async def end(self) -> list[Frame]:
        """What the filter says at the end of the message; the last frame is the answer."""
        self.send(b"E")
        return await self.end_of_answer()

    async def end_of_answer(self) -> list[Frame]:
        """What is left to read of what the filter says at the end of a message."""
        found = [await self.frame()]
        while found[-1][0] not in (b"c", b"a", b"d", b"r", b"t", b"y", b""):
            found.append(await self.frame())
        return found

    async def message(self, body: bytes = HAM, *recipients: bytes, headers: Iterable[Field] = HEADERS) -> list[Frame]:
        """The frames at the end of a whole message."""
        await self.begin(recipients=recipients or (b"<b@example.net>",))
        await self.show(headers, body)
        return await self.end()

    async def is_closed(self) -> bool:
        """Whether the filter closes now, having nothing more to say."""
        return (await self.frame())[0] == b""


@dataclass
class Gateway:
    """The edge and the pipeline."""

    edge: MilterEdge
    store: MemoryStore
    scanner: FakeScanner
    relay: RecordingRelay
    registry: CollectorRegistry
    log: list[Any]
    port: int
    pipeline: Pipeline
    servers: list[MailServer] = field(default_factory=list)

    async def connection(self) -> MailServer:
        """A connection on which nothing was said."""
        server = MailServer(*await asyncio.open_connection("127.0.0.1", self.port))
        self.servers.append(server)
        return server

    async def server(self, *, actions: int = ALL_ACTIONS, steps: int = ALL_STEPS, version: int = 6) -> MailServer:
        """A connection with a client."""
        server = await self.connection()
        assert await server.negotiate(version, actions, steps)
        await server.connect(name=b"mail.example.org", address=b"192.0.2.7", port=2525)
        return server

    def count(self, name: str, **labels: str) -> float:
        """The value of a metric."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def events(self, name: str) -> list[Any]:
        """The log lines of one event."""
        return [entry for entry in self.log if entry["event"] == name]


@contextlib.asynccontextmanager
async def gateway(
    *, policy: Policy | None = None, trusted: Iterable[str] = (), process: Any = None, **settings: Any
) -> AsyncIterator[Gateway]:
    """A gateway that a mail server can ask."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    log = structlog.testing.LogCapture()
    events = Events(structlog.wrap_logger(None, processors=[log]), AddressMask(b"k"))
    store, scanner, clock, relay = MemoryStore(), FakeScanner(), SystemClock(), RecordingRelay()
    stamp = Stamp(hostname="gw.example", trusted_authserv_ids=frozenset(trusted))
    pipeline = Pipeline(
        scanner=scanner,
        store=store,
        clock=clock,
        metrics=metrics,
        events=events,
        memory=ReportedMemory(),
        correction=SiteWeights(),
        settings=Settings(policies={Channel.EMAIL: policy or Policy()}, stamp=stamp),
    )
    edge = MilterEdge(
        MilterSettings(**settings),
        process=process or pipeline.process,
        next_hop=relay,
        stamp=lambda: pipeline.settings.stamp,
        clock=clock,
        metrics=metrics,
        events=events,
    )
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    await edge.serve(sock)
    made = Gateway(edge, store, scanner, relay, registry, log.entries, sock.getsockname()[1], pipeline)
    try:
        yield made
    finally:
        for server in made.servers:
            server.writer.transport.abort()
        await edge.drain(0.5)
        await asyncio.sleep(0)

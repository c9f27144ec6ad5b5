"""A scripted next hop, a raw client, and a gateway between them: real sockets on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import structlog
from prometheus_client import CollectorRegistry

from filterd.clock import SystemClock
from filterd.core.envelope import Channel
from filterd.core.headers import Stamp
from filterd.core.message import ParseLimits
from filterd.core.policy import Policy
from filterd.core.report_mail import ReportMail, read_report
from filterd.edges.lmtp import LmtpEdge
from filterd.edges.smtp import SmtpEdge
from filterd.edges.smtp_reports import ReportDesk
from filterd.fuzzy.memory import ReportedMemory
from filterd.inference.online import SiteWeights
from filterd.labeller import Labeller
from filterd.log import AddressMask, Events
from filterd.mail_reports import MailReports
from filterd.metrics import Metrics
from filterd.pipeline import Pipeline, Settings
from filterd.relay.smtp_client import SmtpRelay
from filterd.settings import LearningSettings, SmtpSettings
from filterd.testing import FakeScanner, MemoryStore

KEYWORDS = ("PIPELINING", "SIZE 30000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")
MESSAGE = b"Subject: hello\r\n\r\nhow are you\r\n"
SPAM = b"Subject: hello\r\n\r\nSPAM\r\n"
ALL_FORWARDS = "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"
LIMIT_SECONDS = 10.0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody announces."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():  # noqa: ASYNC110  # the other side of a socket has no event
            await asyncio.sleep(0.005)


@dataclass
class NextHop:
    """A mail server that does as it is told.

    ``answers`` maps a verb, a whole command, or ``.`` for the final dot, to a reply.

    Instead of a reply: ``hang``, ``close``, ``reset`` or ``garbage``.
    """

    keywords: tuple[str, ...] = KEYWORDS
    answers: dict[str, str] = field(default_factory=dict)
    greeting: str = "220 next.example ESMTP"
    tls: ssl.SSLContext | None = None
    lmtp_replies: list[str] = field(default_factory=list)
    extra_after_starttls: bytes = b""
    commands: list[str] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    ends: list[str] = field(default_factory=list)
    """How each connection ended while a message was being received: eof or reset."""
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    def drop_all(self) -> None:
        """Close every connection, as a restart would."""
        for writer in list(self._writers):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            await self._talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not await self._say(writer, self.greeting):
            return
        while line := await reader.readline():
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            self.commands.append(text)
            verb = text.split(" ")[0].upper()
            if verb in ("EHLO", "LHLO") and verb not in self.answers:
                keywords = self.keywords + (("STARTTLS",) if self.tls else ())
                lines = ["next.example", *keywords]
                writer.write("".join(f"250{' ' if x is lines[-1] else '-'}{x}\r\n" for x in lines).encode())
                continue
            if verb == "STARTTLS" and self.tls and "STARTTLS" not in self.answers:
                writer.write(b"220 go\r\n" + self.extra_after_starttls)
                if not await self._encrypt(writer, self.tls):
                    return
                continue
            if not await self._say(
                writer, self.answers.get(text) or self.answers.get(verb, _USUAL.get(verb, "250 2.0.0 Ok"))
            ):
                return
            if verb == "DATA" and self.answers.get("DATA", "354").startswith("354"):
                if not await self._message(reader, writer):
                    return
            elif verb == "QUIT":
                return

    async def _encrypt(self, writer: asyncio.StreamWriter, tls: ssl.SSLContext) -> bool:
        transport: Any = writer.transport
        with contextlib.suppress(OSError, AttributeError):
            await writer.start_tls(tls)
        now: Any = writer.transport
        if now is None:  # what Python 3.11 leaves behind a failed handshake
            vars(writer)["_transport"] = transport
            return False
        return True

    async def _message(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        data = b"\r\n"
        while b"\r\n.\r\n" not in data:
            try:
                chunk = await reader.read(65_536)
            except ConnectionResetError:
                self.ends.append("reset")
                return False
            if not chunk:
                self.ends.append("eof")
                return False
            data += chunk
        self.messages.append(data[2:-3].replace(b"\r\n.", b"\r\n"))
        for reply in self.lmtp_replies or [self.answers.get(".", "250 2.0.0 Ok: queued as X1")]:
            if not await self._say(writer, reply):
                return False
        return True

    async def _say(self, writer: asyncio.StreamWriter, answer: str) -> bool:
        """Whether the connection goes on."""
        if answer == "hang":
            await asyncio.sleep(3600)
        if answer == "close":
            return False
        if answer == "reset":
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        writer.write(b"what?\r\n" if answer == "garbage" else answer.encode() + b"\r\n")
        await writer.drain()
        return not answer.startswith("421")


_USUAL = {"DATA": "354 go", "QUIT": "221 bye", "RCPT": "250 2.1.5 Ok", "MAIL": "250 2.1.0 Ok"}


class Client:
    """A client that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def reply(self) -> str:
        """One reply, its lines joined by newlines; empty when the server has closed."""
        lines = []
        async with asyncio.timeout(LIMIT_SECONDS):
            while True:
                try:
                    line = (await self.reader.readline()).decode()
                except ConnectionError:
                    return ""
                lines.append(line.rstrip("\r\n"))
                if line[3:4] != "-":
                    return "\n".join(lines)

    async def say(self, *lines: str) -> str:
        """The reply to the last line."""
        self.send("".join(f"{line}\r\n" for line in lines).encode())
        reply = ""
        for _ in lines:
            reply = await self.reply()
        return reply

    def send(self, data: bytes) -> None:
        """Write octets as they are."""
        self.writer.write(data)

    async def replies(self, count: int) -> list[str]:
        """The codes of the next replies."""
        return [(await self.reply())[:3] for _ in range(count)]

    async def message(self, raw: bytes = MESSAGE, *recipients: str, sender: str = "a@example.org") -> str:
        """The first reply to the final dot; the first refusal if it does not get there."""
        await self.say(f"MAIL FROM:<{sender}>")
        for recipient in recipients or ("b@example.net",):
            await self.say(f"RCPT TO:<{recipient}>")
        started = await self.say("DATA")
        if not started.startswith("354"):
            return started
        self.send(raw.replace(b"\r\n.", b"\r\n..") + b".\r\n")
        return await self.reply()

    async def is_closed(self) -> bool:
        """Whether the server closes now, having nothing more to say."""
        async with asyncio.timeout(LIMIT_SECONDS):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    def reset(self) -> None:
        """Cut the connection with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class InPlaceReader:
    """Reads reports in this process; raises ``failure`` instead, while it is set."""

    failure: Exception | None = None

    async def read_report(self, raw: bytes) -> ReportMail:
        if self.failure is not None:
            raise self.failure
        return read_report(raw, ParseLimits())


@dataclass
class Gateway:
    """The edge, the pipeline and the relay."""

    edge: SmtpEdge
    relay: SmtpRelay
    store: MemoryStore
    scanner: FakeScanner
    metrics: Metrics
    registry: CollectorRegistry
    log: list[Any]
    port: int
    clients: list[Client]
    reader: InPlaceReader

    async def client(self, *, ehlo: str | None = None) -> Client:
        """A connected client that has greeted; with an empty ``ehlo`` it has not even read the banner."""
        is_lmtp = isinstance(self.edge, LmtpEdge)
        ehlo = ("LHLO client.example" if is_lmtp else "EHLO client.example") if ehlo is None else ehlo
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        client = Client(reader, writer)
        self.clients.append(client)
        if ehlo:
            assert (await client.reply()).startswith(f"220 gw.example {self.edge.session.name}")
            assert (await client.say(ehlo)).startswith("250")
        return client

    def count(self, name: str, **labels: str) -> float:
        """The value of a metric."""
        return self.registry.get_sample_value(name, labels) or 0.0

    async def settled(self) -> None:
        """Wait until no message is in work and every client that left is forgotten."""
        await until(lambda: not self.edge._tasks)


@contextlib.asynccontextmanager
async def gateway(
    next_hop: NextHop | int,
    *,
    policy: Policy | None = None,
    process: Callable[..., Any] | None = None,
    has_room: Callable[[], bool] = lambda: True,
    learning: LearningSettings | None = None,
    kind: type[SmtpEdge] = SmtpEdge,
    **settings: Any,
) -> AsyncIterator[Gateway]:
    """A gateway in front of ``next_hop``, with an edge of this kind."""
    port = next_hop if isinstance(next_hop, int) else next_hop.port
    options = SmtpSettings(**{"next_hop": f"127.0.0.1:{port}", "hostname": "gw.example", **settings})
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    log = structlog.testing.LogCapture()
    events = Events(structlog.wrap_logger(None, processors=[log]), AddressMask(b"k"))
    store, scanner, clock = MemoryStore(), FakeScanner(), SystemClock()
    pipeline = Pipeline(
        scanner=scanner,
        store=store,
        clock=clock,
        metrics=metrics,
        events=events,
        memory=ReportedMemory(),
        correction=SiteWeights(),
        settings=Settings(policies={Channel.EMAIL: policy or Policy()}, stamp=Stamp(hostname="gw.example")),
    )
    relay = SmtpRelay(options, metrics=metrics, hostname="gw.example")
    reader = InPlaceReader()
    labeller = Labeller(store, origin="mail", clock=clock, metrics=metrics, events=events)
    edge = kind(
        options,
        process=process or (pipeline.process_each if kind is LmtpEdge else pipeline.process),
        next_hop=relay,
        clock=clock,
        metrics=metrics,
        events=events,
        hostname="gw.example",
        has_room=has_room,
        reports=ReportDesk(learning, MailReports(reader, labeller, events=events).take),
    )
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind(("127.0.0.1", 0))
    await edge.serve(sock)
    made = Gateway(edge, relay, store, scanner, metrics, registry, log.entries, sock.getsockname()[1], [], reader)
    try:
        yield made
    finally:
        for client in made.clients:
            client.writer.transport.abort()
        await edge.drain(0.5)
        await relay.close()
        await asyncio.sleep(0)

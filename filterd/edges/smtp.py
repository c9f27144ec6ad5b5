"""The SMTP edge: listens, limits, drains; each connection is a session of ``smtp_session``.

A message is answered with 250 only when the next hop has it or it is durably held (RFC 5321 section 6.1): nothing
is queued here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from types import MappingProxyType
from typing import Any

from filterd.core.envelope import Envelope, MessageId
from filterd.core.networks import Networks
from filterd.core.smtp_address import canonical_domain
from filterd.core.smtp_reply import Offers
from filterd.core.verdict import Label, Reply
from filterd.edges.limits import Budget, Sessions
from filterd.edges.smtp_reports import ReportDesk
from filterd.edges.smtp_session import SmtpSession
from filterd.errors import ConfigError, RelayUnavailable
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.pipeline import Processed
from filterd.ports import Clock, MailTransaction, NextHop
from filterd.replies import SHUTTING_DOWN, TEMPORARY
from filterd.settings import SmtpSettings

BACKLOG = 1024
HEADER_ROOM_BYTES = 4096
"""What our header block may add to a message on its way to the next hop."""

_MIRRORED = ("8BITMIME", "SMTPUTF8", "DSN")
_UNKNOWN_NEXT_HOP = Offers(keywords=MappingProxyType({"8BITMIME": ""}))
"""What every mail server of this century offers."""

Process = Callable[[Envelope, bytes, MailTransaction], Awaitable[Processed]]


class SmtpEdge:
    """Receives mail and hands it to ``process``."""

    name = "smtp"
    """Of its listeners, and in metrics."""
    session: type[SmtpSession] = SmtpSession

    def __init__(
        self,
        settings: SmtpSettings,
        *,
        process: Process,
        next_hop: NextHop,
        clock: Clock,
        metrics: Metrics,
        events: Events,
        hostname: str,
        has_room: Callable[[], bool] = lambda: True,
        reports: ReportDesk | None = None,
        sessions: Sessions | None = None,
        budget: Budget | None = None,
    ) -> None:
        """``sessions`` and ``budget`` are shared by edges of one worker: the limits are the worker's."""
        self.settings = settings
        self.next_hop = next_hop
        self.clock = clock
        self.hostname = hostname
        self.has_room = has_room
        self.reports = reports or ReportDesk()
        self.tls = _tls_context(settings)
        self.relay_clients = Networks(settings.relay_networks)
        self.xforward_clients = Networks(settings.xforward_networks)
        self.xclient_clients = Networks(settings.xclient_networks)
        self.proxies = Networks(settings.proxy_protocol_networks)
        self.relay_domains = frozenset(canonical_domain(d.rstrip(".")) for d in settings.relay_domains)
        self.sessions = sessions or Sessions(settings.max_sessions, settings.max_sessions_per_address)
        self.budget = budget or Budget(settings.max_in_flight_bytes)
        self.max_bytes = settings.max_message_bytes
        self.max_recipients = self.recipients_per_message(settings)
        self.is_draining = False
        self._process = process
        self._metrics = metrics
        self._events = events
        self._servers: list[asyncio.Server] = []
        self._open: set[SmtpSession] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()

    @staticmethod
    def recipients_per_message(settings: SmtpSettings) -> int:
        """How many recipients a message may have.

        One reply cannot say what an LMTP server says of each recipient (RFC 2033 section 4.2): with such a next hop
        there is one, and the client sends the message again for the next (RFC 5321 section 4.5.3.1.10).
        """
        return 1 if settings.next_hop_protocol == "lmtp" else settings.max_recipients

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Accept connections on bound sockets from now on."""
        for sock in sockets:
            await self.serve(sock)

    async def serve(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket from now on.

        A TCP socket should be made with IPPROTO_TCP: asyncio sets TCP_NODELAY only then.
        """
        loop = asyncio.get_running_loop()
        self.spawn(self._probe())
        if sock.family == socket.AF_UNIX:
            server = await loop.create_unix_server(self._session, sock=sock, backlog=BACKLOG)
        else:
            server = await loop.create_server(self._session, sock=sock, backlog=BACKLOG)
        self._servers.append(server)

    async def drain(self, seconds: float) -> int:
        """Stop accepting, let messages in flight finish; how many sessions and messages had to be cut off."""
        self.is_draining = True
        for server in self._servers:
            server.close()
        for session in list(self._open):
            if session.is_waiting:
                session.hang_up(SHUTTING_DOWN)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._quiet.wait()
        abandoned = max(len(self._open), len(self._tasks))
        for session in list(self._open):
            session.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return abandoned

    def _session(self) -> SmtpSession:
        return self.session(self)

    # --- what sessions ask for

    async def keywords(self, *, is_encrypted: bool, may_forward: bool, may_impersonate: bool) -> list[str]:
        """The service extensions offered to a client: never more than the next hop carries on."""
        offers = await self.next_hop.offers() or _UNKNOWN_NEXT_HOP
        size = self.settings.max_message_bytes
        if offers.max_bytes:
            size = max(1, min(size, offers.max_bytes - HEADER_ROOM_BYTES))
        self.max_bytes = size
        lines = ["PIPELINING", f"SIZE {size}", "ENHANCEDSTATUSCODES"]
        lines += [keyword for keyword in _MIRRORED if keyword in offers]
        if self.tls is not None and not is_encrypted:
            lines.append("STARTTLS")
        if may_forward:
            lines.append("XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE")
        if may_impersonate:
            lines.append("XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT")
        return lines

    async def commit(
        self, envelope: Envelope, raw: bytes, transaction: MailTransaction, reserved: int, owed: int
    ) -> Sequence[Reply]:
        """The ``owed`` replies to a whole message. Never raises for a fault of ours."""
        try:
            return await self._answered(envelope, self._processed(envelope, raw, transaction), owed)
        finally:
            transaction.abort()
            self.budget.release(reserved)

    async def take_report(
        self, envelope: Envelope, raw: bytes, labels: tuple[Label, ...], reserved: int, owed: int
    ) -> Sequence[Reply]:
        """The ``owed`` replies to a whole report. Never raises for a fault of ours."""
        try:
            return await self._answered(envelope, self._reported(envelope, raw, labels, owed), owed)
        finally:
            self.budget.release(reserved)

    async def _processed(self, envelope: Envelope, raw: bytes, transaction: MailTransaction) -> Sequence[Reply]:
        processed = await self._process(envelope, raw, transaction)
        return processed.replies or (processed.reply,)

    async def _reported(self, envelope: Envelope, raw: bytes, labels: tuple[Label, ...], owed: int) -> Sequence[Reply]:
        return [await self.reports.take(envelope, raw, labels)] * owed

    async def _answered(self, envelope: Envelope, work: Awaitable[Sequence[Reply]], owed: int) -> Sequence[Reply]:
        try:
            return await work
        except Exception as exc:  # noqa: BLE001  # whatever it is, the sender keeps the message and tries again
            self.session_failed(envelope.id, exc)
            text = f"{TEMPORARY.lines[0]}: {envelope.id}"
            return [Reply(code=TEMPORARY.code, enhanced=TEMPORARY.enhanced, lines=(text,))] * owed

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run ``work`` to its end, whatever becomes of the session that asked for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        self._quiet.clear()
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._note_quiet()

    def _note_quiet(self) -> None:
        if not self._open and not self._tasks:
            self._quiet.set()

    def add(self, session: SmtpSession) -> None:
        """A session has begun."""
        self._open.add(session)
        self._quiet.clear()
        self._metrics.sessions.labels(self.name).inc()

    def remove(self, session: SmtpSession) -> None:
        """A session has ended."""
        self._open.discard(session)
        self._note_quiet()
        self._metrics.sessions.labels(self.name).dec()

    def count_refused(self) -> None:
        """A connection was over a limit."""
        self._metrics.sessions_refused.labels(self.name).inc()

    def count_unjudged(self, why: str) -> None:
        """A message began to arrive and will not be judged."""
        self._metrics.unjudged.labels(why).inc()

    def session_failed(self, id: str, error: BaseException) -> None:
        """Report a bug."""
        self._metrics.session_errors.labels(self.name).inc()
        self._events.session_failed(id, error)

    def relay_failed(self, id: MessageId, error: RelayUnavailable) -> None:
        """Report a next hop that could not be asked about a recipient."""
        self._metrics.relay_failures.labels("email").inc()
        self._events.relay_failed(id, error.detail, ambiguous=False)

    def report_refused(self, mail: Envelope) -> None:
        """Note somebody who wrote to a report address and is not believed."""
        self._metrics.reports.labels("mail", "refused").inc()
        self._events.report_refused(mail.id, mail.sender, mail.peer.address)

    async def _probe(self) -> None:
        await self.next_hop.offers()


def _tls_context(settings: SmtpSettings) -> ssl.SSLContext | None:
    """How to offer STARTTLS. Raises ConfigError."""
    if not settings.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"smtp.tls_certificate: cannot be used: {exc}") from None
    return context

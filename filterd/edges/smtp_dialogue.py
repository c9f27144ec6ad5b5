"""The frame of an SMTP or LMTP session: who may connect, how commands are read and dispatched, how errors end it.

The commands themselves are in ``smtp_session``, and what LMTP has of its own in ``lmtp``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from filterd.core.envelope import Peer
from filterd.core.verdict import Reply
from filterd.edges import smtp_replies as say
from filterd.edges.proxy_protocol import ProxiedClient, read_header
from filterd.edges.smtp_parameters import decoded
from filterd.edges.smtp_wire import BadLine, ClientGone, Wire
from filterd.replies import SHUTTING_DOWN, TEMPORARY

if TYPE_CHECKING:
    from filterd.edges.smtp import SmtpEdge

PROXY_SECONDS = 30.0
MAX_UNKNOWN = 5
"""Unknown commands before a session is closed."""
MAX_JUNK = 100
"""Commands that bring no message nearer; more of them count as errors. Source: Postfix smtpd_junk_command_limit."""
_HTTP = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "HOST:"})
_BEFORE_TLS = frozenset({"EHLO", "HELO", "LHLO", "STARTTLS", "NOOP", "QUIT", "RSET", "XCLIENT"})
_LAST_IN_GROUP = frozenset({"EHLO", "HELO", "LHLO", "DATA", "STARTTLS", "XCLIENT"})
"""Commands whose reply a client must await before it goes on (RFC 2920 section 3.1)."""
COMMANDS = frozenset({"STARTTLS", "XCLIENT", "XFORWARD", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "VRFY", "QUIT"})
"""What SMTP and LMTP share; each is a method ``do_...``."""
_JUNK = frozenset({"HELO", "EHLO", "LHLO", "RSET", "NOOP", "VRFY", "XFORWARD", "XCLIENT"})
_NOT_IMPLEMENTED = frozenset({"EXPN", "HELP", "AUTH", "ETRN", "TURN", "BDAT"})

Command = Callable[[str], Awaitable[bool | None]]


class Dialogue(Wire):
    """A connection of a mail edge, without its commands."""

    name = "ESMTP"
    """The protocol in the banner."""
    commands = COMMANDS | {"HELO", "EHLO"}

    def __init__(self, edge: SmtpEdge) -> None:
        super().__init__(hostname=edge.hostname, tls_context=edge.tls, idle_seconds=edge.settings.idle_timeout_seconds)
        self._edge = edge
        self._connected = Peer()
        """The client as the connection, PROXY and XCLIENT tell: what it may do depends on it."""
        self._is_local = False
        """Whether the client is on a unix socket: whoever may open that is trusted."""
        self._counted: str | None = None
        self._is_admitted = False
        self._errors = 0
        self._unknown = 0
        self._junk = 0

    # --- supplied by the session

    def reset(self) -> None:
        """Forget the mail transaction."""
        raise NotImplementedError

    @property
    def owed(self) -> int:
        """How many replies the client waits for."""
        raise NotImplementedError

    @property
    def message_id(self) -> str:
        """The id of the message in hand, for reports."""
        raise NotImplementedError

    # --- the dialogue

    async def run(self) -> None:
        """From greeting to QUIT."""
        if not await self._admit():
            return
        if self.has_input:
            self.hang_up(say.OUT_OF_STEP)
            return
        self.reply(Reply(code=220, lines=(f"{self._edge.hostname} {self.name}",)))
        while True:
            if self._edge.is_draining:
                self.hang_up(SHUTTING_DOWN)
                return
            try:
                line = await self.read_line()
            except BadLine as exc:
                self.hang_up(say.LINE_TOO_LONG if exc.is_long else say.BARE_NEWLINE)
                return
            if not await self._obey(line):
                return
            if self._errors >= self._edge.settings.max_errors:
                self.hang_up(say.TOO_MANY_ERRORS)
                return

    async def _obey(self, line: bytes) -> bool:
        """Carry out one command; whether the session goes on."""
        word, _, octets = line.partition(b" ")
        verb = word.upper().decode("ascii", "replace")
        if verb in _HTTP:
            self.hang_up(say.NOT_HTTP)
            return False
        if verb not in self.commands:
            return self._unknown_command(verb)
        argument = decoded(octets)
        if argument is None:
            self.refuse(say.BAD_SYNTAX)
            return True
        if verb in _LAST_IN_GROUP and self.has_input:
            # What comes before our reply was not written by somebody who has read it.
            self.hang_up(say.OUT_OF_STEP)
            return False
        if self._edge.settings.tls_required and not self.is_encrypted and verb not in _BEFORE_TLS:
            self.refuse(say.TLS_FIRST)
            return True
        self._junk += verb in _JUNK
        if self._junk > MAX_JUNK:
            self._errors += 1
        return await self._guarded(verb, argument)

    def _unknown_command(self, verb: str) -> bool:
        if verb in _NOT_IMPLEMENTED:
            self.refuse(say.NOT_IMPLEMENTED)
            return True
        self._unknown += 1
        self.refuse(say.BAD_COMMAND)
        if self._unknown >= MAX_UNKNOWN:
            self.hang_up(say.TOO_MANY_ERRORS)
        return self._unknown < MAX_UNKNOWN

    async def _guarded(self, verb: str, argument: str) -> bool:
        command: Command = getattr(self, f"do_{verb.lower()}")
        try:
            return await command(argument) is not False
        except (ClientGone, asyncio.CancelledError):
            raise
        except Exception as exc:  # noqa: BLE001  # a fault of ours is never the sender's: 451, not 500
            self.failed(exc)
            owed = self.owed
            self.reset()
            for _ in range(owed):
                self.reply(TEMPORARY)
            return True

    def answer_no(self, reply: Reply) -> None:
        """A refusal that counts only where it is the client's fault."""
        if reply.is_permanent:
            self._errors += 1
        self.reply(reply)

    def refuse(self, reply: Reply) -> None:
        """Answer an error of the client's; too many end the session."""
        self._errors += 1
        self.reply(reply)

    # --- admission

    @property
    def is_trusted(self) -> bool:
        """Whether this client may send to any domain."""
        return self._is_local or self._connected.address in self._edge.relay_clients

    async def _admit(self) -> bool:
        edge = self._edge
        peername = self.transport.get_extra_info("peername")
        self._is_local = self.transport.get_extra_info("socket").family == socket.AF_UNIX
        if not self._is_local:
            if not isinstance(peername, tuple):  # gone before it was asked who it is
                self.cut()
                return False
            self._connected = Peer(address=peername[0], port=peername[1])
        if not edge.sessions.enter():
            edge.count_refused()
            self.hang_up(say.TOO_MANY_SESSIONS)
            return False
        self._is_admitted = True
        edge.add(self)
        if self._connected.address in edge.proxies:
            client = await self._read_proxy()
            if client is None:
                self.cut()
                return False
            if not client.is_balancer:
                self._connected = Peer(address=client.address, port=client.port)
        return self._admit_address()

    def _admit_address(self) -> bool:
        address = self._connected.address
        if self.is_trusted:
            return True
        if not self._edge.sessions.enter_address(address):
            self._edge.count_refused()
            self.hang_up(say.TOO_MANY_SESSIONS)
            return False
        self._counted = address
        return True

    async def _read_proxy(self) -> ProxiedClient | None:
        try:
            async with asyncio.timeout(min(PROXY_SECONDS, self._edge.settings.idle_timeout_seconds)):
                return await read_header(self.read_exactly, self.read_line)
        except (TimeoutError, ClientGone, BadLine):
            return None

    def over(self) -> None:
        """Give back what the session held."""
        self.reset()
        if self._counted is not None:
            self._edge.sessions.leave_address(self._counted)
        if self._is_admitted:
            self._edge.sessions.leave()
            self._edge.remove(self)

    def failed(self, error: BaseException) -> None:
        """Count and log a bug."""
        self._edge.session_failed(self.message_id, error)

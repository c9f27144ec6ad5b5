"""Who the client of a session is: greeting, STARTTLS (RFC 3207), and what trusted proxies say (XCLIENT, XFORWARD).

The mail transaction is in ``smtp_session``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from filterd.core.envelope import Peer
from filterd.core.networks import Networks
from filterd.core.verdict import Reply
from filterd.core.xforward import XCLIENT_NAMES, XFORWARD_NAMES, apply_attributes, parse_attributes
from filterd.edges import smtp_replies as say
from filterd.edges.smtp_dialogue import Dialogue
from filterd.edges.smtp_parameters import is_host

if TYPE_CHECKING:
    from filterd.edges.smtp import SmtpEdge


@lru_cache(maxsize=64)
def _known_as(peer: Peer, helo: str, protocol: str) -> Peer:
    """``peer`` with what it does not say itself; a connection that is kept open is asked again and again."""
    return replace(peer, helo=peer.helo or helo, protocol=peer.protocol or protocol)


class Greeting(Dialogue):
    """A connection with the commands that say who is there."""

    def __init__(self, edge: SmtpEdge) -> None:
        super().__init__(edge)
        self._forwarded: Peer | None = None
        """The client as XFORWARD tells: for the record only."""
        self._helo = ""
        self._is_extended = False
        self._keywords: frozenset[str] = frozenset()

    @property
    def is_in_transaction(self) -> bool:
        """Whether MAIL was said."""
        raise NotImplementedError

    @property
    def peer(self) -> Peer:
        """The client, as far as anybody told us."""
        # RFC 3848: ESMTPS and LMTPS under TLS.
        protocol = (f"{self.name}S" if self.is_encrypted else self.name) if self._is_extended else "SMTP"
        return _known_as(self._forwarded or self._connected, self._helo, protocol)

    async def do_ehlo(self, argument: str) -> None:
        """Say who we are and what we offer."""
        await self.greet(argument)

    async def greet(self, argument: str) -> None:
        """Begin, or begin again, with service extensions."""
        if not is_host(argument):
            self.refuse(say.BAD_SYNTAX)
            return
        self.reset()
        self._helo, self._is_extended, self._forwarded = argument, True, None
        lines = await self._edge.keywords(
            is_encrypted=self.is_encrypted,
            may_forward=self._connected.address in self._edge.xforward_clients,
            may_impersonate=self._connected.address in self._edge.xclient_clients,
        )
        self._keywords = frozenset(line.partition(" ")[0] for line in lines)
        self.reply(Reply(code=250, lines=(self._edge.hostname, *lines)))

    async def do_helo(self, argument: str) -> None:
        """The greeting of old clients."""
        if not is_host(argument):
            self.refuse(say.BAD_SYNTAX)
            return
        self.reset()
        self._helo, self._is_extended, self._forwarded = argument, False, None
        self._keywords = frozenset()
        self.reply(Reply(code=250, lines=(self._edge.hostname,)))

    async def do_starttls(self, argument: str) -> bool:
        """Go on encrypted, as if just connected."""
        if argument:
            self.refuse(say.BAD_SYNTAX)
        elif self.is_encrypted:
            self.refuse(say.TLS_TWICE)
        elif self._edge.tls is None:
            self.refuse(say.TLS_NOT_AVAILABLE)
        else:
            await self.start_tls()
            # Nothing said in the clear holds any longer (RFC 3207 section 4.2).
            self.reset()
            self._helo, self._is_extended, self._forwarded = "", False, None
            self._keywords = frozenset()
        return True

    async def do_xclient(self, argument: str) -> None:
        """A trusted proxy says who the client is; what it may do follows from that."""
        attributes = self._attributes(argument, XCLIENT_NAMES, allowed=self._edge.xclient_clients)
        if attributes is None:
            return
        self._connected, self._is_local = attributes, False
        self.reset()
        self._forwarded, self._helo, self._is_extended = None, "", False
        self.reply(Reply(code=220, lines=(f"{self._edge.hostname} {self.name}",)))

    async def do_xforward(self, argument: str) -> None:
        """A trusted server says who the client is, for the record."""
        forwarded = self._attributes(argument, XFORWARD_NAMES, allowed=self._edge.xforward_clients)
        if forwarded is not None:
            self._forwarded = forwarded
            self.reply(say.OK)

    def _attributes(self, argument: str, names: tuple[str, ...], allowed: Networks) -> Peer | None:
        if self._connected.address not in allowed:
            self.refuse(say.NOT_AUTHORIZED)
            return None
        if self.is_in_transaction:
            self.refuse(say.NOT_IN_TRANSACTION)
            return None
        attributes = parse_attributes(argument, names)
        start = self._forwarded or Peer() if names is XFORWARD_NAMES else self._connected
        peer = apply_attributes(start, attributes) if attributes else None
        if peer is None:
            self.refuse(say.BAD_ATTRIBUTES)
        return peer

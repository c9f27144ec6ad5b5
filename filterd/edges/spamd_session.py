"""One request of a spamd client: read within its limits, and answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from filterd.adviser import Adviser, Asked
from filterd.beside import beside_loop
from filterd.core.envelope import Peer
from filterd.core.headers import Stamp
from filterd.core.spamd_codec import (
    MAX_HEAD_BYTES,
    Dialect,
    Request,
    Verb,
    answer,
    inflate,
    parse_request,
    pong,
    rewritten,
    told,
)
from filterd.core.spamd_message import rewrite, sender_of
from filterd.edge_settings import SpamdSettings
from filterd.edges.limits import Budget, Reservation
from filterd.errors import MessageTooLarge, Overloaded, RequestInvalid
from filterd.labeller import Labeller

CHUNK_BYTES = 65_536
_BARE = frozenset({Verb.PING, Verb.SKIP})
"""Come without a message."""
_REWRITES = frozenset({Verb.PROCESS, Verb.HEADERS})


@dataclass(frozen=True, slots=True, kw_only=True)
class SpamdDesk:
    """What requests are answered with."""

    adviser: Adviser
    labeller: Labeller
    stamp: Stamp


class SpamdSession:
    """A connection of the spamd edge."""

    def __init__(self, reader: asyncio.StreamReader, settings: SpamdSettings, desk: SpamdDesk, budget: Budget) -> None:
        self._reader = reader
        self._settings = settings
        self._desk = desk
        self.reserved = Reservation(budget)
        """For its message."""
        self.dialect = Dialect.SPAMC
        """What it is answered in."""
        self.is_read = False
        """Whether all of the request has arrived."""
        self._is_hung_up = False
        self._deadline: asyncio.Timeout | None = None

    def hang_up(self) -> None:
        """Wait no longer for a request that has not arrived: its client hears that it may try again."""
        self._is_hung_up = True
        if self._deadline is not None:
            self._deadline.reschedule(asyncio.get_running_loop().time())

    async def read(self) -> tuple[Request, bytes]:
        """The request and its message, which PING and SKIP have none of.

        Raises RequestInvalid, MessageTooLarge, Overloaded, and TimeoutError where it takes too long.
        """
        try:
            async with asyncio.timeout(self._settings.receive_timeout_seconds) as self._deadline:
                request = parse_request(await self._head())
                self.dialect = request.dialect
                body = b"" if request.verb in _BARE else await self._body(request)
                self.is_read = True
        except TimeoutError:
            if self._is_hung_up:
                raise Overloaded("shutting down") from None
            raise
        finally:
            self._deadline = None
        if request.is_compressed:
            most = self._desk.adviser.most_bytes
            self.reserved.grow(most)
            body = await beside_loop(partial(inflate, body, most), len(body))
        return request, body

    async def _head(self) -> bytes:
        """The lines before the empty one; a client that closes has said all it wants to."""
        lines = bytearray()
        while True:
            try:
                line = await self._reader.readuntil(b"\n")
            except asyncio.IncompleteReadError as exc:
                line = exc.partial
            except asyncio.LimitOverrunError:
                raise RequestInvalid("Bad header line: too long") from None
            if line in {b"", b"\n", b"\r\n"}:
                return bytes(lines).removesuffix(b"\n")
            lines += line
            if len(lines) > MAX_HEAD_BYTES:
                raise RequestInvalid("Too many headers")
            if lines.startswith((b"PING ", b"SKIP ")) and lines.count(b"\n") == 1:
                # Before protocol 1.5 neither has an empty line behind it.
                return bytes(lines).removesuffix(b"\n")

    async def _body(self, request: Request) -> bytes:
        most = self._desk.adviser.most_bytes
        if request.length is not None and request.length > most:
            raise MessageTooLarge
        body = bytearray()
        while request.length is None or len(body) < request.length:
            wanted = CHUNK_BYTES if request.length is None else min(CHUNK_BYTES, request.length - len(body))
            chunk = await self._reader.read(wanted)
            if not chunk:
                break
            body += chunk
            if len(body) > most:
                raise MessageTooLarge
            self.reserved.grow(len(body))
        if request.length is not None and len(body) < request.length:
            expected = f"Expected {request.length} bytes, got {len(body)} bytes"
            raise RequestInvalid(f"(Content-Length mismatch: {expected})")
        return bytes(body)

    async def reply(self, request: Request, raw: bytes, *, is_believed: bool) -> bytes:
        """The reply; ``is_believed`` says whether labels of this client count. Raises FilterdError."""
        if request.verb is Verb.SKIP:
            return b""
        if request.verb is Verb.PING:
            return pong(request.dialect)
        asked = _asked(request, raw)
        if request.verb is Verb.TELL:
            return await self._tell(request, asked) if is_believed else told(sets=False, removes=False)
        advice = await self._desk.adviser.advise(asked)
        stamp = self._desk.stamp
        if request.verb in _REWRITES:
            is_header_only = request.verb is Verb.HEADERS
            work = partial(rewrite, raw, advice, stamp, is_header_only=is_header_only)
            return rewritten(request, advice, await beside_loop(work, len(raw)))
        return answer(request, advice, hostname=stamp.hostname, quarantine_as=self._settings.quarantine_as)

    async def _tell(self, request: Request, asked: Asked) -> bytes:
        adviser = self._desk.adviser
        sets = "local" in request.sets and request.label is not None
        if sets and request.label is not None:
            await adviser.teach(asked, request.label, request.user)
        removes = "local" in request.removes and await adviser.forget(asked, request.user)
        return told(sets=sets, removes=removes)


def _asked(request: Request, raw: bytes) -> Asked:
    if request.dialect is Dialect.SPAMC:
        recipients = (request.user,) if request.user else ()
        return Asked(raw=raw, sender=sender_of(raw), recipients=recipients, peer=Peer(protocol="SPAMC"))
    peer = Peer(
        address=request.first("ip"),
        name=request.first("hostname"),
        helo=request.first("helo"),
        login=request.user,
        protocol="RSPAMC",
    )
    return Asked(raw=raw, sender=request.first("from"), recipients=request.fields.get("rcpt", ()), peer=peer)

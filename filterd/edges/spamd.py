"""The spamd edge: SpamAssassin's protocol and its RSPAMC dialect, one request per connection.

Source: spamd/PROTOCOL of SpamAssassin 4. The client keeps the message; whatever keeps us from an opinion is EX_TEMPFAIL
(75), never "not spam". TELL is a label, believed of clients in ``spamd.tell_networks`` only. TLS is not spoken.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from types import MappingProxyType

from filterd.core.networks import Networks
from filterd.core.spamd_codec import Code, Dialect, Verb, failure
from filterd.edge_settings import SpamdSettings
from filterd.edges.limits import Budget, Sessions
from filterd.edges.spamd_session import CHUNK_BYTES, SpamdDesk, SpamdSession
from filterd.errors import FilterdError, MessageTooLarge, Overloaded, RequestInvalid, Unscannable
from filterd.log import Events
from filterd.metrics import Metrics

BACKLOG = 1024
_WRITE_SECONDS = 30.0
"""Longest time a client may take to read its reply."""
_SWALLOW_SECONDS = 5.0
_REFUSED_SECONDS = 1.0
"""The same for a client that was not let in, which takes no place meanwhile."""


_CODES: tuple[tuple[type[Exception], Code, str], ...] = (
    (TimeoutError, Code.TIMEOUT, "broken"),
    (RequestInvalid, Code.PROTOCOL, "broken"),
    (MessageTooLarge, Code.DATAERR, "too_large"),
    (Unscannable, Code.DATAERR, ""),
    (Overloaded, Code.TEMPFAIL, "busy"),
)
"""Error, what the client hears, and as what an unjudged message is counted. Whatever is not here is 75."""
_TEXTS: Mapping[Code, str] = MappingProxyType(
    {
        Code.TIMEOUT: "Timeout: the request took too long",
        Code.DATAERR: MessageTooLarge.public.capitalize(),
        Code.TEMPFAIL: Overloaded.public.capitalize(),
    }
)


class SpamdEdge:
    """Answers spamd clients."""

    def __init__(
        self, settings: SpamdSettings, desk: SpamdDesk, *, budget: Budget, metrics: Metrics, events: Events
    ) -> None:
        """``budget`` is what messages may take in memory together."""
        self._settings = settings
        self._desk = desk
        self._budget = budget
        self._askers = Networks(settings.networks)
        self._tellers = Networks(settings.tell_networks)
        self._sessions = Sessions(settings.max_sessions, settings.max_sessions)
        self._metrics = metrics
        self._events = events
        self._servers: list[asyncio.Server] = []
        self._open: dict[asyncio.Task[None], SpamdSession] = {}

    async def serve(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket from now on."""
        start = asyncio.start_unix_server if sock.family == socket.AF_UNIX else asyncio.start_server
        self._servers.append(await start(self._connected, sock=sock, backlog=BACKLOG, limit=CHUNK_BYTES))

    async def drain(self, seconds: float) -> int:
        """Stop accepting, let whole requests finish for at most ``seconds``; how many did not."""
        for server in self._servers:
            server.close()
        for session in self._open.values():
            session.hang_up()
        if not self._open:
            return 0
        _, late = await asyncio.wait(set(self._open), timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return len(late)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = SpamdSession(reader, self._settings, self._desk, self._budget)
        task = asyncio.get_running_loop().create_task(self._converse(session, reader, writer))
        self._open[task] = session
        task.add_done_callback(self._open.pop)

    async def _converse(
        self, session: SpamdSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        client = _client_of(writer)
        is_allowed = client is None or client in self._askers
        has_entered = is_allowed and self._sessions.enter()
        self._metrics.sessions.labels("spamd").inc()
        try:
            writer.write(await self._reply(session, client) if has_entered else self._refusal(is_known=is_allowed))
            writer.write_eof()
            async with asyncio.timeout(_WRITE_SECONDS):
                await writer.drain()
                if not session.is_read:
                    await _swallow(reader, _SWALLOW_SECONDS if has_entered else _REFUSED_SECONDS)
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError):
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            session.reserved.release()
            if has_entered:
                self._sessions.leave()
            self._metrics.sessions.labels("spamd").dec()

    def _refusal(self, *, is_known: bool) -> bytes:
        """What a client hears that may not ask, or for which there is no room."""
        self._metrics.sessions_refused.labels("spamd").inc()
        if not is_known:
            return failure(Dialect.SPAMC, Code.NOPERM, "Not allowed")
        return failure(Dialect.SPAMC, *self._note(Overloaded()))

    async def _reply(self, session: SpamdSession, client: str | None) -> bytes:
        """The reply to the one request of a connection. Raises only where the client is gone."""
        try:
            request, raw = await session.read()
            is_believed = request.verb is Verb.TELL and self._believes(client, request.user)
            return await session.reply(request, raw, is_believed=is_believed)
        except (FilterdError, TimeoutError) as exc:
            return failure(session.dialect, *self._note(exc))
        except OSError:
            self._metrics.unjudged.labels("client_gone").inc()
            raise
        except Exception as exc:  # noqa: BLE001  # a bug of ours is no opinion
            self._metrics.session_errors.labels("spamd").inc()
            self._events.session_failed("spamd", exc)
            return failure(session.dialect, Code.TEMPFAIL, FilterdError.public)

    def _note(self, error: Exception) -> tuple[Code, str]:
        """How the client is told of ``error``, which is counted where it kept a message from being judged."""
        for kind, code, why in _CODES:
            if isinstance(error, kind):
                if why:
                    self._metrics.unjudged.labels(why).inc()
                return code, error.detail if isinstance(error, RequestInvalid | Unscannable) else _TEXTS[code]
        return Code.TEMPFAIL, error.public if isinstance(error, FilterdError) else FilterdError.public

    def _believes(self, client: str | None, user: str) -> bool:
        """Whether labels of this client count; one whose do not is noted."""
        if client is None or client in self._tellers:
            return True
        self._desk.labeller.count("refused")
        self._events.report_refused("", user, client)
        return False


async def _swallow(reader: asyncio.StreamReader, seconds: float) -> None:
    """Read away what a refused client still sends: closing at once would reset the connection and lose the reply."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while await reader.read(CHUNK_BYTES):
                pass


def _client_of(writer: asyncio.StreamWriter) -> str | None:
    """The address of the client; None on a unix socket: whoever may open that is trusted. Empty where it is gone."""
    if writer.get_extra_info("socket").family == socket.AF_UNIX:
        return None
    peername = writer.get_extra_info("peername")
    return str(peername[0]) if peername else ""

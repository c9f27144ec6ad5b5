"""Open connections to the next hop, greeted and ready for MAIL; the last one used is the first one reused."""

from __future__ import annotations

import asyncio
import ssl

from filterd.core.smtp_reply import Offers
from filterd.errors import ConfigError, RelayUnavailable
from filterd.metrics import Metrics
from filterd.relay.connection import Connection
from filterd.settings import SmtpSettings

IDLE_SECONDS = 30.0
"""How long an unused connection is kept: well below the patience of usual servers (Postfix: 300 s)."""


class Pool:
    """Connections to one next hop."""

    def __init__(self, settings: SmtpSettings, metrics: Metrics, hostname: str) -> None:
        self._settings = settings
        self._metrics = metrics
        self._hostname = hostname
        self._tls = _tls_context(settings)
        self._idle: list[tuple[Connection, asyncio.TimerHandle]] = []
        self._open: set[Connection] = set()
        self._is_closed = False
        self.offers: Offers | None = None
        """What the next hop offered last."""

    async def acquire(self, *, fresh: bool = False) -> Connection:
        """A connection ready for MAIL. Raises RelayUnavailable."""
        while self._idle and not fresh:
            connection, timer = self._idle.pop()
            timer.cancel()
            if connection.is_usable:
                connection.is_reused = True
                return connection
            connection.fail(RelayUnavailable("stale connection"))
        return await self._connect()

    def put(self, connection: Connection) -> None:
        """Keep a connection for later, if there is room."""
        if self._is_closed or not connection.is_usable or len(self._idle) >= self._settings.next_hop_connections:
            connection.quit()
            return
        timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._expire, connection)
        self._idle.append((connection, timer))

    async def close(self) -> None:
        """Part from the next hop."""
        self._is_closed = True
        for connection, timer in self._idle:
            timer.cancel()
            connection.quit()
        self._idle.clear()
        for connection in list(self._open):
            if not connection.is_parting:
                connection.fail(RelayUnavailable("shutting down"))
        await asyncio.sleep(0)

    def _expire(self, connection: Connection) -> None:
        self._forget(connection)
        connection.quit()

    def _forget(self, connection: Connection) -> None:
        for entry in self._idle:
            if entry[0] is connection:
                entry[1].cancel()
                self._idle.remove(entry)
                return

    def _lost(self, connection: Connection) -> None:
        self._forget(connection)
        if connection in self._open:
            self._open.remove(connection)
            self._metrics.relay_connections.dec()

    async def _connect(self) -> Connection:
        seconds = self._settings.connect_timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._greet(await self._dial())
        except TimeoutError:
            raise RelayUnavailable("next hop did not greet in time") from None
        except OSError as exc:
            raise RelayUnavailable(f"next hop cannot be reached: {exc.strerror or type(exc).__name__}") from exc

    async def _dial(self) -> Connection:
        loop = asyncio.get_running_loop()
        target = self._settings.next_hop
        connection = Connection(self._lost)
        if target.startswith("unix:"):
            await loop.create_unix_connection(lambda: connection, target.removeprefix("unix:"))
        else:
            host, _, port = target.rpartition(":")
            await loop.create_connection(lambda: connection, host.strip("[]"), int(port))
        self._open.add(connection)
        self._metrics.relay_connections.inc()
        return connection

    async def _greet(self, connection: Connection) -> Connection:
        """Through greeting, EHLO and STARTTLS; the connection is dropped when any of it fails."""
        try:
            await self._greeted(connection)
            connection.offers = await self._hello(connection)
            if self._settings.next_hop_tls != "off":
                await self._encrypt(connection)
        except BaseException as exc:
            connection.fail(exc if isinstance(exc, RelayUnavailable) else RelayUnavailable("given up"))
            raise
        self.offers = connection.offers
        return connection

    async def _greeted(self, connection: Connection) -> None:
        (greeting,) = await connection.replies([connection.greeting], self._settings.connect_timeout_seconds)
        if greeting.code != 220:
            raise RelayUnavailable(f"next hop greeted with {greeting.code}")

    async def _hello(self, connection: Connection) -> Offers:
        verb = "LHLO" if self._settings.next_hop_protocol == "lmtp" else "EHLO"
        seconds = self._settings.connect_timeout_seconds
        (reply,) = await connection.command([f"{verb} {self._hostname}"], seconds)
        if reply.code == 250:
            return Offers.of(reply)
        if verb == "EHLO" and reply.is_permanent:
            (reply,) = await connection.command([f"HELO {self._hostname}"], seconds)
            if reply.code == 250:
                return Offers()
        raise RelayUnavailable(f"next hop answered {verb} with {reply.code}")

    async def _encrypt(self, connection: Connection) -> None:
        is_required = self._settings.next_hop_tls == "required"
        if self._tls is None or "STARTTLS" not in connection.offers:
            if is_required:
                raise RelayUnavailable("next hop offers no TLS")
            return
        seconds = self._settings.connect_timeout_seconds
        (reply,) = await connection.command(["STARTTLS"], seconds)
        if reply.code != 220:
            if is_required:
                raise RelayUnavailable(f"next hop answered STARTTLS with {reply.code}")
            return
        host = self._settings.next_hop.rpartition(":")[0].strip("[]")
        await connection.start_tls(self._tls, host, seconds)
        connection.offers = await self._hello(connection)


def _tls_context(settings: SmtpSettings) -> ssl.SSLContext | None:
    """How to speak TLS to the next hop: required verifies it, opportunistic cannot. Raises ConfigError."""
    if settings.next_hop_tls == "off":
        return None
    try:
        context = ssl.create_default_context(cafile=settings.next_hop_tls_ca or None)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"smtp.next_hop_tls_ca: cannot be read: {exc}") from None
    if settings.next_hop_tls == "opportunistic":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context

"""SMTP and LMTP client for the next hop (RFC 5321, RFC 2033): pooled connections, pipelined commands."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

from filterd.core.envelope import Envelope
from filterd.core.smtp_reply import Offers
from filterd.core.verdict import Reply
from filterd.errors import RelayUnavailable
from filterd.metrics import Metrics
from filterd.relay.pool import Pool
from filterd.relay.transaction import Transaction
from filterd.settings import SmtpSettings

PROBE_SECONDS = 2.0


class SmtpRelay:
    """Hands mail to the next hop."""

    def __init__(self, settings: SmtpSettings, *, metrics: Metrics, hostname: str) -> None:
        self._settings = settings
        self._pool = Pool(settings, metrics, hostname)
        self._probing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def open(self, envelope: Envelope) -> Transaction:
        """A transaction for the sender of ``envelope``; its recipients are given one by one."""
        return Transaction(envelope, self._pool, self._settings)

    async def send(self, envelope: Envelope, raw: bytes) -> Reply:
        """The next hop's reply to a message that no sender is waiting for: a release.

        Raises RelayUnavailable or RelayAmbiguous.
        """
        return await Transaction(envelope, self._pool, self._settings).send_all(raw)

    async def offers(self) -> Offers | None:
        """The service extensions the next hop offers, as last seen; None while it was never reached."""
        if self._pool.offers is None:
            async with self._probing:
                await self._probe()
        return self._pool.offers

    async def _probe(self) -> None:
        if self._pool.offers is not None:
            return
        with contextlib.suppress(RelayUnavailable, TimeoutError):
            async with asyncio.timeout(PROBE_SECONDS):
                self._pool.put(await self._pool.acquire())

    async def close(self) -> None:
        """Part from the next hop."""
        await self._pool.close()

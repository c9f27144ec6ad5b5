"""Asks DNS for the keys of signatures; remembers what it was told, for as long as it was told to.

Follows RFC 6376 section 3.6.2. Asks the name servers of the configuration or the system's; validates no DNSSEC: a
server that does, on this machine, is the one to name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver

MAX_KNOWN = 10_000
"""Answers that are remembered."""
MAX_ASKED = 100
"""Questions that wait for an answer at the same time, of a worker."""


class Names:
    """A resolver with a memory."""

    def __init__(self, servers: Sequence[tuple[str, int]], timeout_seconds: float) -> None:
        """``servers`` are addresses and ports; none: the system's. Raises OSError where the system names none."""
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=not servers)
        except dns.exception.DNSException as exc:
            raise OSError(f"the system names no name server: {exc}") from exc
        if servers:
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in servers]
        self._resolver.cache = dns.resolver.LRUCache(MAX_KNOWN)
        self._resolver.timeout = timeout_seconds / 2
        self._resolver.lifetime = timeout_seconds
        self._turns = asyncio.Semaphore(MAX_ASKED)

    async def texts(self, name: str) -> tuple[bytes, ...] | None:
        """The TXT records at ``name``; empty where there are none, None where that cannot be known now."""
        try:
            async with self._turns:
                answer = await self._resolver.resolve(f"{name}.", dns.rdatatype.TXT, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.name.LabelTooLong, dns.name.NameTooLong):
            return ()
        except (dns.exception.DNSException, OSError, ValueError):
            return None
        return tuple(b"".join(record.strings) for record in answer)

"""Digests and their links in dictionaries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from filterd.account_ports import Account
from filterd.digest_ports import DigestClaim, Ticket


@dataclass(slots=True)
class _Told:
    until: datetime | None = None
    lease_until: datetime | None = None


class MemoryDigests:
    """Implements ``digest_ports``."""

    def __init__(self, check: Callable[[], datetime], find_account: Callable[[str], Awaitable[Account | None]]) -> None:
        """``check`` gives the time, or raises."""
        self._check = check
        self._find_account = find_account
        self._told: dict[str, _Told] = {}
        self._tickets: dict[str, Ticket] = {}

    async def claim_digest(self, account: str, slot: datetime, lease_seconds: float) -> DigestClaim | None:
        """See ``digest_ports.Digests``."""
        now = self._check()
        if await self._find_account(account) is None:
            return None
        told = self._told.setdefault(account, _Told())
        if told.until is not None and told.until >= slot:
            return None
        if told.lease_until is not None and told.lease_until > now:
            return None
        told.lease_until = now + timedelta(seconds=lease_seconds)
        return DigestClaim(account=account, slot=slot, told_until=told.until)

    async def finish_digest(self, account: str, slot: datetime) -> None:
        """See ``digest_ports.Digests``."""
        self._check()
        self._told[account] = _Told(until=slot)

    async def put_off_digest(self, account: str, delay_seconds: float) -> None:
        """See ``digest_ports.Digests``."""
        self._told[account].lease_until = self._check() + timedelta(seconds=delay_seconds)

    async def add_tickets(self, tickets: Mapping[str, Ticket]) -> None:
        """See ``digest_ports.Tickets``."""
        self._check()
        for secret_sha256, ticket in tickets.items():
            if await self._find_account(ticket.account) is not None:
                self._tickets[secret_sha256] = ticket

    async def find_ticket(self, secret_sha256: str) -> Ticket | None:
        """See ``digest_ports.Tickets``."""
        self._check()
        ticket = self._tickets.get(secret_sha256)
        # As the table does: an account takes its tickets along.
        return ticket if ticket is not None and await self._find_account(ticket.account) is not None else None

    async def use_ticket(self, secret_sha256: str) -> bool:
        """See ``digest_ports.Tickets``."""
        now = self._check()
        ticket = self._tickets.get(secret_sha256)
        if ticket is None or ticket.used_at is not None or ticket.expires_at <= now:
            return False
        self._tickets[secret_sha256] = replace(ticket, used_at=now)
        return True

    async def reopen_ticket(self, secret_sha256: str) -> None:
        """See ``digest_ports.Tickets``."""
        self._check()
        self._tickets[secret_sha256] = replace(self._tickets[secret_sha256], used_at=None)

    def drop_tickets(self, before: datetime) -> int:
        """Forget those that expired before that; how many."""
        old = [secret for secret, ticket in self._tickets.items() if ticket.expires_at < before]
        for secret in old:
            del self._tickets[secret]
        return len(old)

"""How far people have been told what is held for them, and the links in their digests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, insert, or_, select, update

from filterd.core.digest import Verb
from filterd.core.envelope import MessageId
from filterd.digest_ports import DigestClaim, Ticket
from filterd.ports import Clock
from filterd.store.account_tables import AccountRecord, DigestRecord, TicketRecord
from filterd.store.quality import Transactions


class SqlDigests:
    """Implements ``digest_ports``."""

    def __init__(self, read: Transactions, write: Transactions, clock: Clock) -> None:
        self._read = read
        self._write = write
        self._clock = clock

    async def claim_digest(self, account: str, slot: datetime, lease_seconds: float) -> DigestClaim | None:
        """See ``digest_ports.Digests``."""
        now = self._clock.now()
        until = now + timedelta(seconds=lease_seconds)
        return await self._write(partial(_claim, account=account, slot=slot, now=now, until=until))

    async def finish_digest(self, account: str, slot: datetime) -> None:
        """See ``digest_ports.Digests``."""
        done = update(DigestRecord).where(DigestRecord.account == account).values(told_until=slot, lease_until=None)
        await self._write(lambda connection: connection.execute(done).close())

    async def put_off_digest(self, account: str, delay_seconds: float) -> None:
        """See ``digest_ports.Digests``."""
        until = self._clock.now() + timedelta(seconds=delay_seconds)
        later = update(DigestRecord).where(DigestRecord.account == account).values(lease_until=until)
        await self._write(lambda connection: connection.execute(later).close())

    async def add_tickets(self, tickets: Mapping[str, Ticket]) -> None:
        """See ``digest_ports.Tickets``."""
        await self._write(partial(_add, tickets=tickets))

    async def find_ticket(self, secret_sha256: str) -> Ticket | None:
        """See ``digest_ports.Tickets``."""
        return await self._read(partial(_find, secret_sha256=secret_sha256))

    async def use_ticket(self, secret_sha256: str) -> bool:
        """See ``digest_ports.Tickets``."""
        return await self._write(partial(_use, secret_sha256=secret_sha256, now=self._clock.now()))

    async def reopen_ticket(self, secret_sha256: str) -> None:
        """See ``digest_ports.Tickets``."""
        again = update(TicketRecord).where(TicketRecord.secret_sha256 == secret_sha256).values(used_at=None)
        await self._write(lambda connection: connection.execute(again).close())


def _claim(connection: Connection, account: str, slot: datetime, now: datetime, until: datetime) -> DigestClaim | None:
    own = DigestRecord.account == account
    if connection.scalar(select(DigestRecord.account).where(own)) is None:
        if connection.scalar(select(AccountRecord.name).where(AccountRecord.name == account)) is None:
            return None
        connection.execute(insert(DigestRecord).values(account=account, told_until=None, lease_until=None))
    is_untold = or_(DigestRecord.told_until.is_(None), DigestRecord.told_until < slot)
    is_free = or_(DigestRecord.lease_until.is_(None), DigestRecord.lease_until <= now)
    claimed = connection.execute(update(DigestRecord).where(own, is_untold, is_free).values(lease_until=until))
    if claimed.rowcount == 0:
        return None
    told_until = connection.scalar(select(DigestRecord.told_until).where(own))
    return DigestClaim(account=account, slot=slot, told_until=told_until)


def _add(connection: Connection, tickets: Mapping[str, Ticket]) -> None:
    names = {ticket.account for ticket in tickets.values()}
    known = set(connection.scalars(select(AccountRecord.name).where(AccountRecord.name.in_(names))))
    rows = [
        {
            "secret_sha256": secret_sha256,
            "account": ticket.account,
            "held": ticket.held,
            "verb": ticket.verb.value,
            "expires_at": ticket.expires_at,
            "used_at": ticket.used_at,
        }
        for secret_sha256, ticket in tickets.items()
        if ticket.account in known
    ]
    if rows:
        connection.execute(insert(TicketRecord), rows)


def _find(connection: Connection, secret_sha256: str) -> Ticket | None:
    row = connection.execute(select(TicketRecord).where(TicketRecord.secret_sha256 == secret_sha256)).first()
    if row is None:
        return None
    return Ticket(
        account=row.account,
        held=MessageId(row.held),
        verb=Verb(row.verb),
        expires_at=row.expires_at,
        used_at=row.used_at,
    )


def _use(connection: Connection, secret_sha256: str, now: datetime) -> bool:
    is_open = (TicketRecord.used_at.is_(None), TicketRecord.expires_at > now)
    meant = update(TicketRecord).where(TicketRecord.secret_sha256 == secret_sha256, *is_open)
    return connection.execute(meant.values(used_at=now)).rowcount == 1

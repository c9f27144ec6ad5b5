"""Accounts, sessions and failed tries, behind one name of the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from filterd.account_ports import Account, Session
from filterd.core.access import Role
from filterd.core.digest import Schedule
from filterd.errors import NotFound, UsageError
from filterd.ports import Clock
from filterd.store.account_tables import AccountRecord, FailedTryRecord, SessionRecord
from filterd.store.quality import Transactions
from filterd.store.quarantine import audit

FORGET_TRIES = timedelta(days=1)


class SqlAccounts:
    """Implements ``account_ports``."""

    def __init__(self, read: Transactions, write: Transactions, clock: Clock) -> None:
        self._read = read
        self._write = write
        self._clock = clock

    async def add_account(self, account: Account, by: str) -> None:
        """See ``account_ports.Accounts``."""
        await self._write(partial(_add, account=account, by=by, now=self._clock.now()))

    async def find_account(self, name: str) -> Account | None:
        """See ``account_ports.Accounts``."""
        return await self._read(partial(_find, meant=AccountRecord.name == name))

    async def find_subject(self, subject: str) -> Account | None:
        """See ``account_ports.Accounts``."""
        if not subject:
            return None
        return await self._read(partial(_find, meant=AccountRecord.subject == subject))

    async def list_accounts(self) -> Sequence[Account]:
        """See ``account_ports.Accounts``."""
        query = select(AccountRecord).order_by(AccountRecord.name)
        return await self._read(lambda connection: tuple(map(_account_from, connection.execute(query))))

    async def change_account(self, account: Account, by: str) -> None:
        """See ``account_ports.Accounts``."""
        await self._write(partial(_change, account=account, by=by, now=self._clock.now()))

    async def remove_account(self, name: str, by: str) -> None:
        """See ``account_ports.Accounts``."""
        await self._write(partial(_remove, name=name, by=by, now=self._clock.now()))

    async def open_session(self, secret_sha256: str, session: Session) -> None:
        """See ``account_ports.Sessions``."""
        await self._write(partial(_open, secret_sha256=secret_sha256, session=session, now=self._clock.now()))

    async def find_session(self, secret_sha256: str) -> tuple[Session, Account] | None:
        """See ``account_ports.Sessions``."""
        return await self._read(partial(_session, secret_sha256=secret_sha256))

    async def touch_session(self, secret_sha256: str, seen_at: datetime) -> None:
        """See ``account_ports.Sessions``."""
        meant = SessionRecord.secret_sha256 == secret_sha256
        await self._write(lambda c: c.execute(update(SessionRecord).where(meant).values(seen_at=seen_at)).close())

    async def close_session(self, secret_sha256: str) -> bool:
        """See ``account_ports.Sessions``."""
        meant = SessionRecord.secret_sha256 == secret_sha256
        return await self._write(lambda c: c.execute(delete(SessionRecord).where(meant)).rowcount > 0)

    async def failures(self, keys: Sequence[str], since: datetime) -> Sequence[tuple[int, datetime]]:
        """See ``account_ports.Tries``."""
        return await self._read(partial(_failures, keys=keys, since=since))

    async def note_failure(self, keys: Sequence[str]) -> None:
        """See ``account_ports.Tries``."""
        await self._write(partial(_note, keys=keys, now=self._clock.now()))

    async def forget_failures(self, keys: Sequence[str]) -> None:
        """See ``account_ports.Tries``."""
        meant = FailedTryRecord.key.in_(keys)
        await self._write(lambda c: c.execute(delete(FailedTryRecord).where(meant)).close())


def _add(connection: Connection, account: Account, by: str, now: datetime) -> None:
    if _find(connection, AccountRecord.name == account.name) is not None:
        raise UsageError(f"an account {account.name} exists")
    connection.execute(insert(AccountRecord).values(**_row_from(account)))
    audit(connection, now, by, "account_added", account.name, account.role.value)


def _find(connection: Connection, meant: Any) -> Account | None:
    row = connection.execute(select(AccountRecord).where(meant)).first()
    return None if row is None else _account_from(row)


def _change(connection: Connection, account: Account, by: str, now: datetime) -> None:
    before = _find(connection, AccountRecord.name == account.name)
    if before is None:
        raise NotFound(f"no account {account.name}")
    connection.execute(update(AccountRecord).where(AccountRecord.name == account.name).values(**_row_from(account)))
    audit(connection, now, by, "account_changed", account.name, account.role.value)
    # What a session may do was decided when it was opened: who may do less now signs in again.
    if replace(before, language=account.language, digest=account.digest) != account:
        connection.execute(delete(SessionRecord).where(SessionRecord.account == account.name))


def _remove(connection: Connection, name: str, by: str, now: datetime) -> None:
    connection.execute(delete(SessionRecord).where(SessionRecord.account == name))
    if connection.execute(delete(AccountRecord).where(AccountRecord.name == name)).rowcount == 0:
        raise NotFound(f"no account {name}")
    audit(connection, now, by, "account_removed", name)


def _open(connection: Connection, secret_sha256: str, session: Session, now: datetime) -> None:
    connection.execute(delete(SessionRecord).where(SessionRecord.ends_at <= now))
    connection.execute(
        insert(SessionRecord).values(
            secret_sha256=secret_sha256,
            account=session.account,
            opened_at=session.opened_at,
            seen_at=session.seen_at,
            ends_at=session.ends_at,
        )
    )
    audit(connection, now, session.account, "signed_in", session.account)


def _session(connection: Connection, secret_sha256: str) -> tuple[Session, Account] | None:
    row = connection.execute(select(SessionRecord).where(SessionRecord.secret_sha256 == secret_sha256)).first()
    account = None if row is None else _find(connection, AccountRecord.name == row.account)
    if row is None or account is None:
        return None
    session = Session(account=row.account, opened_at=row.opened_at, seen_at=row.seen_at, ends_at=row.ends_at)
    return session, account


def _failures(connection: Connection, keys: Sequence[str], since: datetime) -> Sequence[tuple[int, datetime]]:
    query = (
        select(FailedTryRecord.key, func.count().label("times"), func.max(FailedTryRecord.at).label("last"))
        .where(FailedTryRecord.key.in_(keys), FailedTryRecord.at >= since)
        .group_by(FailedTryRecord.key)
    )
    found = {row.key: (row.times, row.last) for row in connection.execute(query)}
    return tuple(found.get(key, (0, since)) for key in keys)


def _note(connection: Connection, keys: Sequence[str], now: datetime) -> None:
    connection.execute(delete(FailedTryRecord).where(FailedTryRecord.at < now - FORGET_TRIES))
    for key in keys:
        at = now
        while connection.scalar(select(FailedTryRecord.at).where(FailedTryRecord.key == key, FailedTryRecord.at == at)):
            at += timedelta(microseconds=1)
        connection.execute(insert(FailedTryRecord).values(key=key, at=at))


def _account_from(row: Row[Any]) -> Account:
    return Account(
        name=row.name,
        role=Role(row.role),
        addresses=tuple(row.addresses),
        domains=tuple(row.domains),
        password_hash=row.password_hash,
        subject=row.subject,
        language=row.language,
        digest=Schedule.of(row.digest) if row.digest else None,
        is_disabled=row.is_disabled,
        created_at=row.created_at,
    )


def _row_from(account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "role": account.role.value,
        "addresses": list(account.addresses),
        "domains": list(account.domains),
        "password_hash": account.password_hash,
        "subject": account.subject,
        "language": account.language,
        "digest": str(account.digest or ""),
        "is_disabled": account.is_disabled,
        "created_at": account.created_at,
    }

"""Accounts, sessions and failed tries in dictionaries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from filterd.account_ports import Account, Session
from filterd.errors import NotFound, UsageError


class MemoryAccounts:
    """Implements ``account_ports``."""

    def __init__(self, check: Callable[[], datetime]) -> None:
        """``check`` gives the time, or raises."""
        self._check = check
        self._accounts: dict[str, Account] = {}
        self._sessions: dict[str, Session] = {}
        self._tries: defaultdict[str, list[datetime]] = defaultdict(list)

    async def add_account(self, account: Account, by: str) -> None:  # noqa: ARG002  # nobody audits the memory
        """See ``account_ports.Accounts``."""
        self._check()
        if account.name in self._accounts:
            raise UsageError(f"an account {account.name} exists")
        self._accounts[account.name] = account

    async def find_account(self, name: str) -> Account | None:
        """See ``account_ports.Accounts``."""
        self._check()
        return self._accounts.get(name)

    async def find_subject(self, subject: str) -> Account | None:
        """See ``account_ports.Accounts``."""
        self._check()
        return next((a for a in self._accounts.values() if subject and a.subject == subject), None)

    async def list_accounts(self) -> Sequence[Account]:
        """See ``account_ports.Accounts``."""
        self._check()
        return tuple(account for _, account in sorted(self._accounts.items()))

    async def change_account(self, account: Account, by: str) -> None:  # noqa: ARG002  # nobody audits the memory
        """See ``account_ports.Accounts``."""
        self._check()
        before = self._accounts.get(account.name)
        if before is None:
            raise NotFound(f"no account {account.name}")
        self._accounts[account.name] = account
        if replace(before, language=account.language, digest=account.digest) != account:
            self._end_sessions(account.name)

    async def remove_account(self, name: str, by: str) -> None:  # noqa: ARG002  # nobody audits the memory
        """See ``account_ports.Accounts``."""
        self._check()
        if self._accounts.pop(name, None) is None:
            raise NotFound(f"no account {name}")
        self._end_sessions(name)

    async def open_session(self, secret_sha256: str, session: Session) -> None:
        """See ``account_ports.Sessions``."""
        self._check()
        self._sessions[secret_sha256] = session

    async def find_session(self, secret_sha256: str) -> tuple[Session, Account] | None:
        """See ``account_ports.Sessions``."""
        self._check()
        session = self._sessions.get(secret_sha256)
        return None if session is None else (session, self._accounts[session.account])

    async def touch_session(self, secret_sha256: str, seen_at: datetime) -> None:
        """See ``account_ports.Sessions``."""
        self._check()
        if secret_sha256 in self._sessions:
            self._sessions[secret_sha256] = replace(self._sessions[secret_sha256], seen_at=seen_at)

    async def close_session(self, secret_sha256: str) -> bool:
        """See ``account_ports.Sessions``."""
        self._check()
        return self._sessions.pop(secret_sha256, None) is not None

    async def failures(self, keys: Sequence[str], since: datetime) -> Sequence[tuple[int, datetime]]:
        """See ``account_ports.Tries``."""
        self._check()
        found = ([at for at in self._tries[key] if at >= since] for key in keys)
        return tuple((len(times), max(times, default=since)) for times in found)

    async def note_failure(self, keys: Sequence[str]) -> None:
        """See ``account_ports.Tries``."""
        now = self._check()
        for key in keys:
            self._tries[key].append(now)

    async def forget_failures(self, keys: Sequence[str]) -> None:
        """See ``account_ports.Tries``."""
        self._check()
        for key in keys:
            self._tries.pop(key, None)

    def _end_sessions(self, name: str) -> None:
        self._sessions = {secret: s for secret, s in self._sessions.items() if s.account != name}

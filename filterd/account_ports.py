"""What signing in needs from the outside: accounts, sessions, a memory of failed tries, and tokens of programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from filterd.core.access import Person, Role
from filterd.core.digest import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who may sign in."""

    name: str
    """Login, lower case; an e-mail address as a rule."""
    role: Role
    addresses: tuple[str, ...] = ()
    """Keys (``address_key``) of their own addresses and phone numbers."""
    domains: tuple[str, ...] = ()
    """Domains a moderator looks after, lower case."""
    password_hash: str = ""
    """Argon2id in PHC form; empty for somebody who signs in elsewhere."""
    subject: str = ""
    """Issuer and subject at the OpenID provider, separated by a space; empty for a local account."""
    language: str = ""
    """Of the pages and digests; empty follows the browser."""
    digest: Schedule | None = None
    """When they get one; None follows the settings."""
    is_disabled: bool = False
    created_at: datetime

    @property
    def person(self) -> Person:
        """Who signs in."""
        return Person(
            name=self.name, role=self.role, addresses=frozenset(self.addresses), domains=frozenset(self.domains)
        )

    @property
    def mailbox(self) -> str:
        """Where their digests go: their name where it is an address of theirs still, else the first that takes mail."""
        own = [address for address in self.addresses if "@" in address]
        return self.name if self.name in own else next(iter(own), "")

    @property
    def digest_person(self) -> Person:
        """Who their digests tell and whose links act: an administrator is told of no more than their own messages."""
        return replace(self.person, role=Role.USER) if self.person.is_administrator else self.person


class Accounts(Protocol):
    """The accounts."""

    async def add_account(self, account: Account, by: str) -> None:
        """Raises UsageError if the name is taken."""
        ...

    async def find_account(self, name: str) -> Account | None:
        """The account of that name, disabled or not."""
        ...

    async def find_subject(self, subject: str) -> Account | None:
        """The account of that person at the OpenID provider."""
        ...

    async def list_accounts(self) -> Sequence[Account]:
        """All accounts, by name."""
        ...

    async def change_account(self, account: Account, by: str) -> None:
        """Put ``account`` in the place of the one of its name. Raises NotFound.

        Its sessions end unless only the language or the digest changed.
        """
        ...

    async def remove_account(self, name: str, by: str) -> None:
        """Remove it and its sessions. Raises NotFound."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Somebody who has signed in with one browser."""

    account: str
    opened_at: datetime
    seen_at: datetime
    """Last request, to a minute."""
    ends_at: datetime


class Sessions(Protocol):
    """Sessions on the server's side; only the SHA-256 of a secret is stored."""

    async def open_session(self, secret_sha256: str, session: Session) -> None:
        """Write down that somebody has signed in."""
        ...

    async def find_session(self, secret_sha256: str) -> tuple[Session, Account] | None:
        """The session with that secret and its account, disabled or not."""
        ...

    async def touch_session(self, secret_sha256: str, seen_at: datetime) -> None:
        """Write down a request; none where the session has ended."""
        ...

    async def close_session(self, secret_sha256: str) -> bool:
        """End it; whether it was there until now."""
        ...


class Tries(Protocol):
    """Failed tries to sign in, by whatever they are counted by."""

    async def failures(self, keys: Sequence[str], since: datetime) -> Sequence[tuple[int, datetime]]:
        """For each key how many tries failed at ``since`` or later, and when the last did (``since`` if none)."""
        ...

    async def note_failure(self, keys: Sequence[str]) -> None:
        """One more for each key."""
        ...

    async def forget_failures(self, keys: Sequence[str]) -> None:
        """Begin again at none."""
        ...


class People(Accounts, Sessions, Tries, Protocol):
    """All that is known of those who sign in."""


class Scope(StrEnum):
    """What an API token may do."""

    FEEDBACK = "feedback"
    QUARANTINE = "quarantine"
    RULES = "rules"
    CHECK = "check"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An API token without its secret."""

    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime


class TokenStore(Protocol):
    """API tokens; only the SHA-256 of a secret is stored."""

    async def add_token(self, token: Token, secret_sha256: str, by: str) -> None:
        """Raises UsageError if the name is taken."""
        ...

    async def find_token(self, secret_sha256: str) -> Token | None:
        """The token with that secret."""
        ...

    async def list_tokens(self) -> Sequence[Token]:
        """All tokens, by name."""
        ...

    async def revoke_token(self, name: str, by: str) -> None:
        """Raises NotFound."""
        ...

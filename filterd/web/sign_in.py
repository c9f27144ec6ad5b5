"""Signing in and out: a password or an OpenID provider on one side, a session in the store on the other.

Failed tries are counted in the store, for the account and for the network of the client: from the fifth on each
one must wait twice as long as the one before, up to a quarter of an hour. A session ends after a working day, or
after an hour or two without a request; its secret is 256 random bits, of which only the SHA-256 is stored.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from dataclasses import replace
from datetime import timedelta

from filterd.account_ports import Account, People, Session
from filterd.core.secret_digest import digest
from filterd.errors import TooManyTries
from filterd.ports import Clock
from filterd.web.passwords import Passwords

SESSION_HOURS = 12
IDLE_HOURS = 2
LINK_MINUTES = 15
_LINK = "link "
_FREE_TRIES = 4
_WINDOW = timedelta(hours=1)
_FIRST_WAIT_SECONDS = 2.0
_LONGEST_WAIT_SECONDS = 900.0
_TOUCH = timedelta(minutes=1)
_NETWORK_FACTOR = 5
"""A network may fail so many times as often as an account before it waits: whole offices share an address."""


class SignIn:
    """Opens, finds and closes sessions."""

    def __init__(self, people: People, *, passwords: Passwords, clock: Clock, key: bytes) -> None:
        """``key`` is the installation's secret."""
        self._people = people
        self._passwords = passwords
        self._clock = clock
        self._key = key

    async def with_password(self, name: str, password: str, peer: str) -> tuple[str, Account] | None:
        """The secret of a new session and whose it is; None where name or password are wrong.

        Raises TooManyTries, before the password is looked at, and StoreUnavailable.
        """
        name = name.strip().lower()
        keys = (self._hidden(f"account {name}"), self._network_key(peer))
        await self._check_tries(keys)
        account = await self._people.find_account(name)
        stored = "" if account is None or account.is_disabled else account.password_hash
        if not await self._passwords.check(password, stored) or account is None:
            await self._people.note_failure(keys)
            return None
        await self._people.forget_failures(keys[:1])
        if self._passwords.is_outdated(stored):
            account = replace(account, password_hash=await self._passwords.hash(password))
            await self._people.change_account(account, account.name)
        return await self.open(account), account

    async def check_peer(self, peer: str) -> None:
        """Raises TooManyTries where too many tries from the client's network have failed, and StoreUnavailable."""
        await self._check_tries((self._network_key(peer),))

    async def note_peer(self, peer: str) -> None:
        """A try from there has failed at the OpenID provider. Raises StoreUnavailable."""
        await self._people.note_failure((self._network_key(peer),))

    async def open(self, account: Account) -> str:
        """The secret of a new session."""
        secret, now = secrets.token_urlsafe(32), self._clock.now()
        ends_at = now + timedelta(hours=SESSION_HOURS)
        session = Session(account=account.name, opened_at=now, seen_at=now, ends_at=ends_at)
        await self._people.open_session(digest(secret), session)
        return secret

    async def link(self, account: Account) -> str:
        """The secret of a link that signs in once, within ``LINK_MINUTES``: for whoever is at the command line."""
        secret, now = secrets.token_urlsafe(32), self._clock.now()
        ends_at = now + timedelta(minutes=LINK_MINUTES)
        # A session nobody can be in: its key is of another form than that of a cookie's secret.
        session = Session(account=account.name, opened_at=now, seen_at=now, ends_at=ends_at)
        await self._people.open_session(digest(f"{_LINK}{secret}"), session)
        return secret

    async def with_link(self, secret: str) -> tuple[str, Account] | None:
        """The secret of a new session and whose it is; None where the link was used, has expired or never was."""
        key = digest(f"{_LINK}{secret}")
        found = await self._people.find_session(key)
        if found is None or not await self._people.close_session(key):
            return None
        session, account = found
        if account.is_disabled or self._clock.now() >= session.ends_at:
            return None
        return await self.open(account), account

    async def find(self, secret: str) -> Account | None:
        """Whose session it is; None where it has ended or never was. Raises StoreUnavailable."""
        if not secret:
            return None
        found = await self._people.find_session(digest(secret))
        if found is None:
            return None
        session, account = found
        now = self._clock.now()
        if account.is_disabled or now >= session.ends_at or now - session.seen_at >= timedelta(hours=IDLE_HOURS):
            return None
        if now - session.seen_at >= _TOUCH:
            await self._people.touch_session(digest(secret), now)
        return account

    async def close(self, secret: str) -> None:
        """End the session. Raises StoreUnavailable."""
        await self._people.close_session(digest(secret))

    def form_token(self, secret: str) -> str:
        """What every form of the session carries: nobody else can know it, and it tells nothing about the secret."""
        return hmac.digest(self._key, b"form " + secret.encode(), "sha256").hex()

    def seal(self, text: str) -> str:
        """What proves that we wrote ``text``."""
        return hmac.digest(self._key, b"seal " + text.encode("utf-8", "replace"), "sha256").hex()

    def is_form_token(self, secret: str, token: str) -> bool:
        """Whether ``token`` is the one of the session."""
        return hmac.compare_digest(self.form_token(secret).encode(), token.encode("utf-8", "replace"))

    async def _check_tries(self, keys: tuple[str, ...]) -> None:
        """``keys`` end with the one of the network."""
        now = self._clock.now()
        *accounts, network = await self._people.failures(keys, now - _WINDOW)
        counted = [*((account, _FREE_TRIES) for account in accounts), (network, _FREE_TRIES * _NETWORK_FACTOR)]
        for (times, last), free in counted:
            wait_seconds = (last - now).total_seconds() + wait_after(times, free)
            if wait_seconds > 0:
                raise TooManyTries(f"too many tries; wait {max(wait_seconds, 1):.0f} s")

    def _network_key(self, peer: str) -> str:
        return self._hidden(f"network {network_of(peer)}")

    def _hidden(self, what: str) -> str:
        return hmac.digest(self._key, what.encode("utf-8", "replace"), "sha256").hex()


def wait_after(failures: int, free: int = _FREE_TRIES) -> float:
    """Seconds from the last of so many failed tries to the next one that is looked at."""
    if failures <= free:
        return 0.0
    return min(_FIRST_WAIT_SECONDS * 2.0 ** min(failures - free - 1, 10), _LONGEST_WAIT_SECONDS)


def network_of(peer: str) -> str:
    """The network that counts as one client: an IPv4 address, or the /64 that one IPv6 subscriber has."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)

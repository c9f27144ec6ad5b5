"""What people type when they make accounts and tokens, as it is kept: logins, addresses, domains, names of tokens."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable

from filterd.core.envelope import address_key
from filterd.errors import UsageError

LOGIN_CHARS = 254
"""The longest path of RFC 5321."""
TOKEN_CHARS = 64
MOST_LISTED = 200
"""Addresses or domains of one account."""
_NUMBER = re.compile(r"[0-9]{3,20}")
_DOMAIN = re.compile(r"[^\s@.,/\\]{1,63}(\.[^\s@.,/\\]{1,63})*")


def login_of(text: str) -> str:
    """The login that ``text`` means. Raises UsageError."""
    login = text.strip().lower()
    if not _is_word(login):
        raise UsageError(f"a login has 1 to {LOGIN_CHARS} printable characters and no spaces")
    return login


def addresses_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Keys of the addresses and numbers in ``texts``, each once. Raises UsageError for one that is neither."""
    keys = tuple(dict.fromkeys(address_key(text) for text in texts if text.strip()))
    for key in keys:
        if not _is_word(key) or not (all(key.rpartition("@")[::2]) or _NUMBER.fullmatch(key)):
            raise UsageError(f"{key} is neither an e-mail address nor a phone number")
    return _few(keys)


def own_addresses(login: str, texts: Iterable[str]) -> tuple[str, ...]:
    """``addresses_of(texts)``; where there are none, the login itself if it is an address. Raises UsageError."""
    return addresses_of(texts) or addresses_of([login] if "@" in login else [])


def domains_of(texts: Iterable[str]) -> tuple[str, ...]:
    """The domains in ``texts``, each once, lower case. Raises UsageError for one that is none."""
    names = (text.strip().lower().removeprefix("@").rstrip(".") for text in texts if text.strip())
    domains = tuple(dict.fromkeys(names))
    for domain in domains:
        if not _is_word(domain) or not _DOMAIN.fullmatch(domain):
            raise UsageError(f"{domain} is not a domain")
    return _few(domains)


def token_name_of(text: str) -> str:
    """The name of a token that ``text`` means. Raises UsageError."""
    name = text.strip()
    if not name.isprintable() or not 1 <= len(name) <= TOKEN_CHARS or name.startswith("cli"):
        raise UsageError(f"a token's name has 1 to {TOKEN_CHARS} printable characters and does not begin with cli")
    return name


def made_password() -> str:
    """A password nobody has: 120 random bits in 20 characters."""
    return secrets.token_urlsafe(15)


def _is_word(text: str) -> bool:
    return text.isprintable() and " " not in text and 1 <= len(text) <= LOGIN_CHARS


def _few(found: tuple[str, ...]) -> tuple[str, ...]:
    if len(found) > MOST_LISTED:
        raise UsageError(f"at most {MOST_LISTED} of them")
    return found

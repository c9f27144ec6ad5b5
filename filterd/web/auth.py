"""Bearer tokens (RFC 6750): ``fd_`` and 256 random bits, of which only the SHA-256 is stored.

A token is looked up by its hash, so how long the look-up takes tells nothing about any token.
"""

from __future__ import annotations

import re
import secrets

from filterd.account_ports import Scope, Token, TokenStore
from filterd.core.secret_digest import digest

_FORM = re.compile(r"Bearer +(fd_[A-Za-z0-9_-]{43})", re.IGNORECASE)


def new_secret() -> str:
    """A token nobody has yet: ``fd_`` and 43 characters."""
    return f"fd_{secrets.token_urlsafe(32)}"


async def identify(authorization: str, tokens: TokenStore) -> Token | None:
    """The token in an Authorization header; None for none of ours. Raises StoreUnavailable."""
    match = _FORM.fullmatch(authorization.strip())
    return await tokens.find_token(digest(match.group(1))) if match else None


def may(token: Token, scope: Scope) -> bool:
    """Whether the token covers ``scope``; admin covers all."""
    return scope in token.scopes or Scope.ADMIN in token.scopes

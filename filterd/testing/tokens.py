"""Tokens of the API in a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from filterd.account_ports import Token
from filterd.errors import NotFound, UsageError


class MemoryTokens:
    """See ``account_ports.TokenStore``; ``now`` says the time, or raises what the store is to fail with."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._tokens: dict[str, tuple[Token, str]] = {}

    async def add_token(self, token: Token, secret_sha256: str, by: str) -> None:  # noqa: ARG002  # nobody audits the memory
        """See ``account_ports.TokenStore``."""
        self._now()
        if token.name in self._tokens:
            raise UsageError(f"a token named {token.name} exists")
        self._tokens[token.name] = (token, secret_sha256)

    async def find_token(self, secret_sha256: str) -> Token | None:
        """See ``account_ports.TokenStore``."""
        self._now()
        return next((token for token, secret in self._tokens.values() if secret == secret_sha256), None)

    async def list_tokens(self) -> Sequence[Token]:
        """See ``account_ports.TokenStore``."""
        self._now()
        return tuple(self._tokens[name][0] for name in sorted(self._tokens))

    async def revoke_token(self, name: str, by: str) -> None:  # noqa: ARG002  # nobody audits the memory
        """See ``account_ports.TokenStore``."""
        self._now()
        if name not in self._tokens:
            raise NotFound(f"no token {name}")
        del self._tokens[name]

"""API tokens: names, scopes and the SHA-256 of secrets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from filterd.account_ports import Scope, Token
from filterd.errors import NotFound, UsageError
from filterd.store.quarantine import audit
from filterd.store.schema import TokenRecord


def token_from(row: Row[Any]) -> Token:
    """The token in ``row``."""
    return Token(name=row.name, scopes=tuple(Scope(s) for s in row.scopes), created_at=row.created_at)


def add(connection: Connection, token: Token, secret_sha256: str, by: str) -> None:
    """Raises UsageError if the name is taken."""
    if connection.scalar(select(TokenRecord.name).where(TokenRecord.name == token.name)) is not None:
        raise UsageError(f"a token named {token.name} exists")
    scopes = [scope.value for scope in token.scopes]
    connection.execute(
        insert(TokenRecord).values(
            name=token.name, scopes=scopes, secret_sha256=secret_sha256, created_at=token.created_at
        )
    )
    audit(connection, token.created_at, by, "token_added", token.name, " ".join(scopes))


def find(connection: Connection, secret_sha256: str) -> Token | None:
    """The token with that secret. The hash is looked up, so timing says nothing about the secret."""
    row = connection.execute(select(TokenRecord).where(TokenRecord.secret_sha256 == secret_sha256)).first()
    return None if row is None else token_from(row)


def listed(connection: Connection) -> Sequence[Token]:
    """All tokens, by name."""
    return tuple(token_from(row) for row in connection.execute(select(TokenRecord).order_by(TokenRecord.name)))


def revoke(connection: Connection, name: str, by: str, now: datetime) -> None:
    """Raises NotFound."""
    if connection.execute(delete(TokenRecord).where(TokenRecord.name == name)).rowcount == 0:
        raise NotFound(f"no token {name}")
    audit(connection, now, by, "token_revoked", name)

"""The tables of people who sign in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, PrimaryKeyConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from filterd.store.schema import Base, Exact


class AccountRecord(Base):
    """Somebody who may sign in."""

    __tablename__ = "account"
    __table_args__ = (Index(None, "subject"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    addresses: Mapped[Any] = mapped_column(Exact)
    domains: Mapped[Any] = mapped_column(Exact)
    password_hash: Mapped[str]
    subject: Mapped[str]
    language: Mapped[str] = mapped_column(String(8))
    digest: Mapped[str] = mapped_column(server_default="")
    """A ``Schedule``; empty follows the settings."""
    is_disabled: Mapped[bool]
    created_at: Mapped[datetime]


class SessionRecord(Base):
    """Somebody who has signed in with one browser; the cookie's secret is known to the browser only."""

    __tablename__ = "session"
    __table_args__ = (Index(None, "account"), Index(None, "ends_at"))

    secret_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.name", ondelete="CASCADE"))
    opened_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    ends_at: Mapped[datetime]


class FailedTryRecord(Base):
    """A failed try to sign in; the key is a hash, so that no address of a client is kept."""

    __tablename__ = "failed_try"
    __table_args__ = (PrimaryKeyConstraint("key", "at"), Index(None, "at"))

    key: Mapped[str] = mapped_column(String(64))
    at: Mapped[datetime]


class DigestRecord(Base):
    """How far somebody has been told what is held for them."""

    __tablename__ = "digest"

    account: Mapped[str] = mapped_column(ForeignKey("account.name", ondelete="CASCADE"), primary_key=True)
    told_until: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    """Until then somebody else is at it, or it waits to be tried again."""


class TicketRecord(Base):
    """A link of a digest; its secret is known to the mail only."""

    __tablename__ = "ticket"
    __table_args__ = (Index(None, "account"), Index(None, "expires_at"))

    secret_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(ForeignKey("account.name", ondelete="CASCADE"))
    held: Mapped[str] = mapped_column(String(32))
    verb: Mapped[str] = mapped_column(String(16))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]

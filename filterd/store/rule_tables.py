"""The table of rules set at run time."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from filterd.store.schema import Base, Serial


class RuleRecord(Base):
    """One list entry, or the thresholds of one scope, given while the filter runs; it can only be revoked."""

    __tablename__ = "rule"
    __table_args__ = (
        Index(
            "uq_rule_standing",
            "scope",
            "entry",
            unique=True,
            sqlite_where=text("revoked_at IS NULL AND entry <> ''"),
            postgresql_where=text("revoked_at IS NULL AND entry <> ''"),
        ),
        Index(None, "scope", "id"),
        Index(None, "given_at"),
        Index(None, "changed_at"),
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    scope: Mapped[str]
    kind: Mapped[str] = mapped_column(String(16))
    """allow, deny or thresholds."""
    entry: Mapped[str]
    """Empty for thresholds."""
    tag_at: Mapped[str]
    """A name, a number or off; empty where nothing is said."""
    quarantine_at: Mapped[str]
    is_enabled: Mapped[bool | None]
    given_by: Mapped[str]
    given_at: Mapped[datetime]
    origin: Mapped[str] = mapped_column(String(16))
    message_id: Mapped[str | None] = mapped_column(String(32))
    sender_key: Mapped[str]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str]
    changed_at: Mapped[datetime]
    """When this row last became something else: what every worker looks for."""

"""The tables. Rows are not domain objects: the modules beside this one turn one into the other.

Addresses and numbers stand twice: as received, and as a key (``lookup_key``) that can be looked up to erase a
person. Free text from the outside is stored as ``Plain``: what a database cannot hold (NUL, lone surrogates) becomes
U+FFFD; where every character must survive, the text is JSON with ASCII escapes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from filterd.core.envelope import address_key

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Constraint names that are the same on every database, so that migrations can name them."""


ONLY = "only"
"""Names, in the ``info`` of an index, the one database that has it."""
KEY_CHARS = 254
"""Characters of an address that are looked up: the longest path of RFC 5321; an index entry has a limit, too."""


class Moment(TypeDecorator[datetime]):
    """An aware UTC time; SQLite, which knows no zones, keeps it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """UTC, naive on SQLite."""
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002  # theirs
        """Aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Plain(TypeDecorator[str]):
    """Text from the outside, without what a database cannot hold."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002  # theirs
        """Lone surrogates and NUL replaced."""
        return None if value is None else plain(value)


class Exact(TypeDecorator[Any]):
    """A tree of lists, mappings and text that must come back as it was: JSON in ASCII."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002  # their signature
        """JSON text."""
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002  # their signature
        """The tree."""
        return None if value is None else json.loads(value)


def plain(value: str) -> str:
    """``value`` with NUL and lone surrogates replaced by U+FFFD."""
    return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "\N{REPLACEMENT CHARACTER}")


def lookup_key(address: str) -> str:
    """``address_key`` as a column holds it."""
    return address_key(plain(address))[:KEY_CHARS]


def id_key(id: str) -> str:
    """A foreign id as it stands in an index: itself, or its hash where it is too long for one."""
    key = plain(id)
    return key if len(key) <= KEY_CHARS else "sha256:" + hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()


def only_key(addresses: Sequence[str]) -> str:
    """The key of the only address; empty where there are several, which are looked for in their list."""
    return lookup_key(addresses[0]) if len(addresses) == 1 else ""


Serial = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows only in INTEGER columns."""


class Base(DeclarativeBase):
    """All tables of filterd."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: Moment, str: Plain, float: Float(53)}  # noqa: RUF012  # read by SQLAlchemy


class VerdictRecord(Base):
    """One decision about one message, for one group of its recipients."""

    __tablename__ = "verdict"
    __table_args__ = (
        PrimaryKeyConstraint("id", "part"),
        Index(None, "received_at"),
        Index(None, "sender_key"),
        Index(None, "recipient_key", "id"),
        Index(None, "recipient_domain", "id"),
        Index("ix_verdict_audit", "received_at", sqlite_where=text("is_audit = 1"), postgresql_where=text("is_audit")),
    )

    id: Mapped[str] = mapped_column(String(32))
    part: Mapped[str] = mapped_column(String(16))
    """Start of the SHA-256 of the recipients."""
    channel: Mapped[str] = mapped_column(String(8))
    received_at: Mapped[datetime]
    sender: Mapped[str]
    sender_key: Mapped[str]
    recipients: Mapped[Any] = mapped_column(Exact)
    recipient_key: Mapped[str]
    recipient_domain: Mapped[str] = mapped_column(server_default="")
    """Of ``recipient_key``; empty where it has none."""
    peer: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    action: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str]
    outcome: Mapped[str] = mapped_column(String(16))
    reply_code: Mapped[int]
    is_ambiguous: Mapped[bool]
    probability: Mapped[float | None]
    logit: Mapped[float | None]
    correction: Mapped[float]
    """What labels added to the logit."""
    threshold: Mapped[float | None]
    model: Mapped[str]
    fingerprint: Mapped[str]
    elapsed_seconds: Mapped[float]
    policy: Mapped[str]
    """Version of the policy that decided."""
    reports: Mapped[Any] = mapped_column(Exact)
    """Numbers of the reports that decided."""
    evidence: Mapped[Any] = mapped_column(Exact)
    """[word, how far it moved the logit], strongest first."""
    signals: Mapped[Any] = mapped_column(Exact)
    script: Mapped[str] = mapped_column(String(8))
    is_audit: Mapped[bool]


LISTED = (
    "state",
    "id",
    "channel",
    "received_at",
    "reason",
    "probability",
    "sender_key",
    "recipient_key",
    "search",
)
"""Columns that held messages are looked for by."""


class HeldRecord(Base):
    """One held message with its body, for the recipients one decision is about."""

    __tablename__ = "held"
    __table_args__ = (
        Index(None, "state", "id"),
        Index(None, "message_id"),
        Index(None, "received_at"),
        Index(None, "sender_key"),
        Index(None, "recipient_key"),
        # What is looked through, without the bodies; PostgreSQL has them apart, and a limit for entries of an index.
        Index("ix_held_listed", *LISTED, info={ONLY: "sqlite"}),
        UniqueConstraint("retry_key"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """The message's id; a second held part of the same message has one that follows it."""
    message_id: Mapped[str] = mapped_column(String(32))
    retry_key: Mapped[str | None] = mapped_column(String(64))
    """SHA-256 of envelope, content and day; none once the message has left the quarantine."""
    channel: Mapped[str] = mapped_column(String(8))
    state: Mapped[str] = mapped_column(String(16))
    state_at: Mapped[datetime]
    received_at: Mapped[datetime]
    sender: Mapped[str]
    sender_key: Mapped[str]
    recipients: Mapped[Any] = mapped_column(Exact)
    recipient_key: Mapped[str]
    subject: Mapped[str]
    search: Mapped[str]
    """Sender, recipient where there is only one, and subject, in lower case."""
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    action: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str]
    probability: Mapped[float | None]
    model: Mapped[str]
    envelope: Mapped[Any] = mapped_column(Exact)
    claimed_by: Mapped[str]
    lease_until: Mapped[datetime | None]
    body: Mapped[bytes | None] = mapped_column(LargeBinary)
    """zlib; last, so that SQLite finds the other columns without reading it. None once deleted."""


class HeldRetryRecord(Base):
    """A later attempt of a sender whose message was held already."""

    __tablename__ = "held_retry"
    __table_args__ = (PrimaryKeyConstraint("message_id", "held_id"), Index(None, "held_id"))

    message_id: Mapped[str] = mapped_column(String(32))
    held_id: Mapped[str] = mapped_column(String(32), ForeignKey("held.id", ondelete="CASCADE"))


class FeedbackRecord(Base):
    """One label by one reporter, and what must be known of its message once the verdict is gone.

    The text of the ledger never changes; a label can only be revoked or, as a memory of near-duplicates, retire.
    """

    __tablename__ = "feedback"
    __table_args__ = (
        Index(
            "uq_feedback_active",
            "message_id",
            "reporter",
            unique=True,
            sqlite_where=text("revoked_at IS NULL"),
            postgresql_where=text("revoked_at IS NULL"),
        ),
        Index(None, "given_at"),
        Index(None, "changed_at"),
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    message_id: Mapped[str] = mapped_column(String(32))
    label: Mapped[str] = mapped_column(String(8))
    reporter: Mapped[str]
    origin: Mapped[str]
    given_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str]
    retired_at: Mapped[datetime | None]
    """When the model in service was seen to get its near-duplicates right by itself."""
    changed_at: Mapped[datetime]
    """When this row last became something else: what every worker looks for."""
    channel: Mapped[str] = mapped_column(String(8))
    fingerprint: Mapped[str]
    sender_key: Mapped[str]
    recipients: Mapped[Any] = mapped_column(Exact)
    """Keys of those it speaks for first."""
    is_for_all: Mapped[bool]
    model: Mapped[str]
    """The bundle that had judged the message."""


class ScannedRecord(Base):
    """What the model read of one message (``core.token_codec``)."""

    __tablename__ = "scanned"
    __table_args__ = (Index(None, "received_at"),)

    message_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    channel: Mapped[str] = mapped_column(String(8))
    received_at: Mapped[datetime]
    hashing: Mapped[str] = mapped_column(String(12))
    tokens: Mapped[bytes] = mapped_column(LargeBinary)


class DisagreementRecord(Base):
    """A message that a candidate on trial would have treated otherwise."""

    __tablename__ = "disagreement"
    __table_args__ = (PrimaryKeyConstraint("message_id", "candidate"), Index(None, "seen_at"))

    message_id: Mapped[str] = mapped_column(String(32))
    candidate: Mapped[str] = mapped_column(String(128))
    channel: Mapped[str] = mapped_column(String(8))
    candidate_probability: Mapped[float]
    incumbent: Mapped[str]
    incumbent_probability: Mapped[float]
    seen_at: Mapped[datetime]


class CalibrationRecord(Base):
    """A site's own calibration of one bundle."""

    __tablename__ = "calibration"
    __table_args__ = (PrimaryKeyConstraint("channel", "model"),)

    channel: Mapped[str] = mapped_column(String(8))
    model: Mapped[str] = mapped_column(String(128))
    scale: Mapped[float]
    bias: Mapped[float]
    labels: Mapped[int]
    set_at: Mapped[datetime]
    set_by: Mapped[str]


class SmsMessageRecord(Base):
    """One SMS in the inbox or outbox."""

    __tablename__ = "sms_message"
    __table_args__ = (
        Index(None, "state", "due_at"),
        Index(None, "provider", "sender_key", "recipient_key", "reference"),
        Index(None, "sender_key"),
        Index(None, "recipient_key"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    provider: Mapped[str]
    sender_key: Mapped[str]
    recipient_key: Mapped[str]
    reference: Mapped[str]
    parts: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    due_at: Mapped[datetime]
    """When the next step may be taken; a claim moves it to the end of its lease."""
    attempts: Mapped[int]
    received_at: Mapped[datetime]


class SmsPartRecord(Base):
    """One webhook delivery."""

    __tablename__ = "sms_part"
    __table_args__ = (PrimaryKeyConstraint("provider", "provider_id"), Index(None, "message_id"))

    provider: Mapped[str]
    provider_id: Mapped[str]
    message_id: Mapped[str] = mapped_column(String(32), ForeignKey("sms_message.id", ondelete="CASCADE"))
    part: Mapped[int]
    parts: Mapped[int]
    received_at: Mapped[datetime]
    content: Mapped[Any] = mapped_column(Exact)
    """Every text of the delivery: sender, recipient, text, reference, content_type, headers, query."""
    payload: Mapped[bytes] = mapped_column(LargeBinary)


class TokenRecord(Base):
    """An API token; its secret is known to its owner only."""

    __tablename__ = "token"
    __table_args__ = (UniqueConstraint("secret_sha256"),)

    name: Mapped[str] = mapped_column(primary_key=True)
    scopes: Mapped[Any] = mapped_column(Exact)
    secret_sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class AuditRecord(Base):
    """Who did what to the quarantine, the tokens and the store; never an address or text of a message."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "target"),)

    id: Mapped[int] = mapped_column(Serial, primary_key=True)
    at: Mapped[datetime]
    by: Mapped[str]
    event: Mapped[str] = mapped_column(String(32))
    target: Mapped[str]
    note: Mapped[str]

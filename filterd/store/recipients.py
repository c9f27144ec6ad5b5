"""Whose messages: the recipients of held messages, and of verdicts on messages that went to several.

A verdict for one recipient names him in its own row, so that most mail costs nothing more. Every question about
somebody's messages is answered by an index on these columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, ForeignKeyConstraint, Index, PrimaryKeyConstraint, String, delete
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from filterd.core.access import Reach
from filterd.core.envelope import domain_of
from filterd.store.schema import KEY_CHARS, Base, lookup_key, plain
from filterd.store.upsert import insert_missing


class HeldRecipientRecord(Base):
    """A recipient of a held message."""

    __tablename__ = "held_recipient"
    __table_args__ = (
        PrimaryKeyConstraint("held_id", "recipient_key"),
        ForeignKeyConstraint(["held_id"], ["held.id"], ondelete="CASCADE"),
        Index(None, "recipient_key", "held_id"),
        Index(None, "recipient_domain", "held_id"),
    )

    held_id: Mapped[str] = mapped_column(String(32))
    recipient_key: Mapped[str]
    recipient_domain: Mapped[str]


class VerdictRecipientRecord(Base):
    """A recipient of a verdict that is for several."""

    __tablename__ = "verdict_recipient"
    __table_args__ = (
        PrimaryKeyConstraint("id", "part", "recipient_key"),
        ForeignKeyConstraint(["id", "part"], ["verdict.id", "verdict.part"], ondelete="CASCADE"),
        Index(None, "recipient_key", "id"),
        Index(None, "recipient_domain", "id"),
    )

    id: Mapped[str] = mapped_column(String(32))
    part: Mapped[str] = mapped_column(String(16))
    recipient_key: Mapped[str]
    recipient_domain: Mapped[str]


def note_held(connection: Connection, id: str, recipients: Sequence[str]) -> None:
    """Write down whom a held message is for."""
    rows = [{"held_id": id, **columns} for columns in _columns(recipients)]
    connection.execute(insert_missing(connection.dialect.name, HeldRecipientRecord.__table__), rows)


def change_held(connection: Connection, id: str, recipients: Sequence[str]) -> None:
    """Write down whom a held message is for now."""
    connection.execute(delete(HeldRecipientRecord).where(HeldRecipientRecord.held_id == id))
    note_held(connection, id, recipients)


def note_verdicts(connection: Connection, verdicts: Iterable[dict[str, Any]]) -> None:
    """Write down whom the verdicts in these rows are for, where that is several."""
    rows = [
        {"id": verdict["id"], "part": verdict["part"], **columns}
        for verdict in verdicts
        if len(verdict["recipients"]) > 1
        for columns in _columns(verdict["recipients"])
    ]
    if rows:
        connection.execute(insert_missing(connection.dialect.name, VerdictRecipientRecord.__table__), rows)


def change_verdict(connection: Connection, id: str, part: str, recipients: Sequence[str]) -> None:
    """Write down whom a verdict is for now."""
    table = VerdictRecipientRecord
    connection.execute(delete(table).where(table.id == id, table.part == part))
    note_verdicts(connection, [{"id": id, "part": part, "recipients": recipients}])


def _columns(recipients: Sequence[str]) -> list[dict[str, str]]:
    keys = dict.fromkeys(map(lookup_key, recipients))
    return [{"recipient_key": key, "recipient_domain": domain_of(key)} for key in keys]


def reached(
    reach: Reach, key: InstrumentedAttribute[str], domain: InstrumentedAttribute[str]
) -> list[ColumnElement[bool]]:
    """Conditions of which a recipient within ``reach`` meets one, each for an index; none for an empty reach."""
    keys = sorted({plain(address)[:KEY_CHARS] for address in reach.addresses})
    return [*(key == one for one in keys), *(domain == one for one in sorted(reach.domains))]

"""Whose messages: the recipients of held messages, and of verdicts on messages that went to several.

A verdict for one recipient names him in its own row, so that most mail costs nothing more. Every question about
somebody's messages is answered by an index on these columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVarTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Select,
    String,
    delete,
    func,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from filterd.core.access import Reach
from filterd.core.envelope import domain_of
from filterd.store.schema import KEY_CHARS, Base, lookup_key, plain
from filterd.store.upsert import insert_missing

MANY = 10_000
"""So many recipients within reach are not sorted for every page."""


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
    rows = [{"held_id": id, **columns} for columns in columns_of(recipients)]
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
        for columns in columns_of(verdict["recipients"])
    ]
    if rows:
        connection.execute(insert_missing(connection.dialect.name, VerdictRecipientRecord.__table__), rows)


def change_verdict(connection: Connection, id: str, part: str, recipients: Sequence[str]) -> None:
    """Write down whom a verdict is for now."""
    table = VerdictRecipientRecord
    connection.execute(delete(table).where(table.id == id, table.part == part))
    note_verdicts(connection, [{"id": id, "part": part, "recipients": recipients}])


def columns_of(recipients: Sequence[str]) -> list[dict[str, str]]:
    """Key and domain of each of them, once."""
    keys = dict.fromkeys(map(lookup_key, recipients))
    return [{"recipient_key": key, "recipient_domain": domain_of(key)} for key in keys]


Column = InstrumentedAttribute[str]
Columns = TypeVarTuple("Columns")


def reached(reach: Reach, key: Column, domain: Column) -> list[ColumnElement[bool]]:
    """Conditions of which a recipient within ``reach`` meets one, each for an index; none for an empty reach."""
    return [_among(column, values) for column, values in _values(reach, key, domain)]


@dataclass(frozen=True, slots=True, kw_only=True)
class InReach:
    """A condition that recipients within reach meet."""

    condition: ColumnElement[bool]
    is_in_order: bool
    """Whether an index has those that meet it in the order of ids."""

    def newest(self, found: Select[*Columns]) -> Select[*Columns]:
        """What ``found`` selects of them, in descending order."""
        if self.is_in_order:
            return _descending(found.where(self.condition))
        # By themselves: in the hope of soon having a page together, a planner may walk through everybody's instead.
        few = found.where(self.condition).cte().prefix_with("MATERIALIZED")
        return _descending(select(*few.c))


def in_reach(connection: Connection, reach: Reach, key: Column, domain: Column) -> Iterator[InReach]:
    """Conditions of which a recipient within ``reach`` meets one; none for an empty reach.

    Several addresses or domains are one condition where few recipients meet it: to sort these costs less than to ask
    for each. Else each is one of its own, and a page reads no more of any than it shows.
    """
    for column, values in _values(reach, key, domain):
        together = _among(column, values)
        if len(values) > 1 and not are_many(connection, select(column).where(together)):
            yield InReach(condition=together, is_in_order=False)
        else:
            yield from (InReach(condition=column == value, is_in_order=True) for value in values)


def _descending(found: Select[*Columns]) -> Select[*Columns]:
    return found.order_by(*(column.desc() for column in found.selected_columns))


def _values(reach: Reach, key: Column, domain: Column) -> Iterator[tuple[Column, Sequence[str]]]:
    keys = sorted({plain(address)[:KEY_CHARS] for address in reach.addresses})
    return ((column, values) for column, values in ((key, keys), (domain, sorted(reach.domains))) if values)


def _among(column: Column, values: Sequence[str]) -> ColumnElement[bool]:
    return column == values[0] if len(values) == 1 else column.in_(values)


def are_many(connection: Connection, found: Select[Any]) -> bool:
    """Whether ``found`` has ``MANY`` rows or more."""
    some = found.limit(MANY).subquery()
    return connection.scalar(select(func.count()).select_from(some)) == MANY

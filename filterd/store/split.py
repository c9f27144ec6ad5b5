"""A held message is split where somebody acts on it who reaches only some of its recipients.

Body and envelope stay what they were; each recipient is in one of the two rows. The others keep the id and, with it,
what finds a sender's retry: a second attempt is still for all of them, and so nothing new.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, insert, literal, select, update

from filterd.core.access import Reach
from filterd.core.envelope import Envelope
from filterd.errors import NotFound
from filterd.store import recipients
from filterd.store.held_rows import envelope_from, part_within, search_text, tree_from
from filterd.store.schema import HeldRecord, only_key

_COLUMNS = tuple(HeldRecord.__table__.c)


def split_off(connection: Connection, row: Row[Any], reach: Reach) -> str:
    """The id of a row for the recipients within ``reach``: a new one, or that of ``row`` where those are all it has.

    Raises NotFound where somebody else was faster and nothing within ``reach`` is left in it. Where the row turns out
    to be in no state to be acted on, whoever asked raises, and the transaction undoes this.
    """
    own: str = row.id
    if len(reach.part_of(row.recipients)) == len(row.recipients):
        return own
    this = HeldRecord.id == row.id
    # Locked and read again: somebody else may have taken it or split it in the meantime.
    columns = [column for column in _COLUMNS if column.name != "body"]
    now = connection.execute(select(*columns).where(this).with_for_update()).first()
    if now is None:
        raise NotFound(f"no held message {own}")
    envelope = envelope_from(now.envelope)
    inside = part_within(envelope, reach)
    if not inside.recipients:
        raise NotFound(f"no held message {own}")
    outside = envelope.only(tuple(r for r in envelope.recipients if not reach.covers(r.address)))
    if not outside.recipients:
        return own
    new = next_id(connection, now.message_id)
    _copy(connection, own, {"id": new, "retry_key": None} | _of_part(now, inside))
    connection.execute(update(HeldRecord).where(this).values(**_of_part(now, outside)))
    for id, part in ((new, inside), (own, outside)):
        recipients.change_held(connection, id, [r.address for r in part.recipients])
    return new


def next_id(connection: Connection, message: str) -> str:
    """An id for one more held part of a message: its own for the first, and for others one that sorts beside it."""
    known = connection.scalars(select(HeldRecord.id).where(HeldRecord.message_id == message))
    own = int(message, 16)
    part = max((int(id, 16) ^ own for id in known), default=-1) + 1
    return f"{own ^ part:032x}"


def _copy(connection: Connection, id: str, other: dict[str, Any]) -> None:
    """Insert the row again with ``other`` values; the body does not leave the database."""
    values = [literal(other[c.name], c.type) if c.name in other else c for c in _COLUMNS]
    row = select(*values).where(HeldRecord.id == id)
    connection.execute(insert(HeldRecord).from_select([c.name for c in _COLUMNS], row))


def _of_part(row: Row[Any], part: Envelope) -> dict[str, Any]:
    """What is different in the row of a part."""
    addresses = [recipient.address for recipient in part.recipients]
    return {
        "recipients": addresses,
        "recipient_key": only_key(addresses),
        "search": search_text(row.sender, addresses, row.subject),
        "envelope": tree_from(part),
    }

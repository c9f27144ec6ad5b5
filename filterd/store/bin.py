"""Deleted messages, as long as their bodies are kept: they can be put back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, select, update

from filterd.core.access import Reach
from filterd.core.envelope import MessageId
from filterd.errors import NotFound, UsageError
from filterd.ports import Clock, HeldState
from filterd.store.quality import Transactions
from filterd.store.quarantine import audit, find
from filterd.store.schema import HeldRecord
from filterd.store.split import split_off

_KEPT = (HeldRecord.state == HeldState.DELETED.value) & HeldRecord.body.is_not(None)


class SqlBin:
    """Implements ``review_ports.Bin``."""

    def __init__(self, read: Transactions, write: Transactions, clock: Clock) -> None:
        self._read = read
        self._write = write
        self._clock = clock

    async def restore(self, id: MessageId, by: str, reach: Reach) -> None:
        """See ``review_ports.Bin``."""
        await self._write(partial(_restore, id=id, by=by, reach=reach, now=self._clock.now()))

    async def deleted_by(self, by: str, since: datetime, until: datetime) -> Sequence[MessageId]:
        """See ``review_ports.Bin``."""
        return await self._read(partial(_deleted_by, by=by, since=since, until=until))


def _restore(connection: Connection, id: MessageId, by: str, reach: Reach, now: datetime) -> None:
    row = find(connection, id, reach)
    own = split_off(connection, row, reach)
    put_back = connection.execute(
        update(HeldRecord)
        .where(HeldRecord.id == own, _KEPT)
        .values(state=HeldState.HELD.value, state_at=now, claimed_by="")
    )
    if put_back.rowcount == 0:
        if row.state == HeldState.DELETED.value:
            raise NotFound(f"message {id} was deleted")
        raise UsageError(f"message {id} is {row.state}, not deleted")
    audit(connection, now, by, "restored", own)


def _deleted_by(connection: Connection, by: str, since: datetime, until: datetime) -> Sequence[MessageId]:
    meant = (HeldRecord.claimed_by == by, HeldRecord.state_at >= since, HeldRecord.state_at < until)
    found = connection.scalars(select(HeldRecord.id).where(_KEPT, *meant).order_by(HeldRecord.id))
    return tuple(MessageId(id) for id in found)

"""Which bundle serves on every host, and its files, so that a host that has not got it can fetch it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from sqlalchemy import Connection, delete, insert, select, update

from filterd.core.envelope import Channel
from filterd.model_ports import SharedPointer
from filterd.ports import Clock
from filterd.store.model_tables import ModelFileRecord, ModelPointerRecord
from filterd.store.quality import Transactions
from filterd.store.upsert import upsert


class SqlSharedModels:
    """Implements ``model_ports.SharedModels``."""

    def __init__(self, read: Transactions, write: Transactions, clock: Clock) -> None:
        self._read = read
        self._write = write
        self._clock = clock

    async def pointers(self) -> Mapping[Channel, SharedPointer]:
        """See ``model_ports.SharedModels``."""
        return await self._read(pointers)

    async def files(self, channel: Channel, id: str) -> Mapping[str, bytes]:
        """See ``model_ports.SharedModels``."""
        return await self._read(partial(files, channel=channel, id=id))

    async def point(self, channel: Channel, new: SharedPointer, files: Mapping[str, bytes], by: str) -> bool:
        """See ``model_ports.SharedModels``."""
        now = self._clock.now()

        def operation(connection: Connection) -> bool:
            is_first = _move(connection, channel, new, {"set_at": now, "set_by": by})
            if is_first:
                _keep(connection, channel, new.id, files)
            return is_first

        return await self._write(operation)


def pointers(connection: Connection) -> Mapping[Channel, SharedPointer]:
    """Every channel's pointer; none where nobody has set one."""
    table = ModelPointerRecord
    rows = connection.execute(select(table.channel, table.number, table.model))
    return {Channel(row.channel): SharedPointer(number=row.number, id=row.model) for row in rows}


def files(connection: Connection, channel: Channel, id: str) -> Mapping[str, bytes]:
    """The files of a bundle by name; empty where it is not kept."""
    table = ModelFileRecord
    meant = (table.channel == channel.value, table.model == id)
    rows = connection.execute(select(table.name, table.content).where(*meant))
    return {row.name: bytes(row.content) for row in rows}


def _move(connection: Connection, channel: Channel, new: SharedPointer, who: Mapping[str, object]) -> bool:
    """Whether the pointer was moved: not where another host has moved it meanwhile."""
    table = ModelPointerRecord
    row = {"number": new.number, "model": new.id, **who}
    if new.number == 1:
        first = upsert(connection.dialect.name, table.__table__).values(channel=channel.value, previous="", **row)
        return connection.scalar(first.on_conflict_do_nothing().returning(table.number)) is not None
    seen = (table.channel == channel.value, table.number == new.number - 1)
    return connection.execute(update(table).where(*seen).values(previous=table.model, **row)).rowcount == 1


def _keep(connection: Connection, channel: Channel, id: str, files: Mapping[str, bytes]) -> None:
    """Files of the bundle that serves and of the one before, and no others."""
    pointer, table = ModelPointerRecord, ModelFileRecord
    previous = connection.scalar(select(pointer.previous).where(pointer.channel == channel.value))
    old = (table.channel == channel.value, table.model.not_in([id, previous or id]))
    connection.execute(delete(table).where(*old))
    connection.execute(delete(table).where(table.channel == channel.value, table.model == id))
    rows = [{"channel": channel.value, "model": id, "name": name, "content": data} for name, data in files.items()]
    if rows:
        connection.execute(insert(table), rows)

"""How many verdicts an hour ended in which action, as far as somebody reaches: one query, grouped.

Of everybody's mail the index on the time of arrival finds them. Of one person's, or one domain's, the indexes by
recipient do: their second column is the id, and ids sort by time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Select, String, cast, func, literal_column, select, union

from filterd.clock import first_id
from filterd.core.access import Reach
from filterd.core.envelope import Channel
from filterd.core.verdict import Action
from filterd.review_ports import HourCount
from filterd.store.recipients import VerdictRecipientRecord, reached
from filterd.store.schema import VerdictRecord
from filterd.store.tallies import WAS_SENT

_MINTED_WITHIN = timedelta(minutes=5)
"""Between a message's id and the time of its arrival, whichever was taken first."""
_HOUR_CHARS = len("2026-01-01 00")


def counted(connection: Connection, reach: Reach, since: datetime, until: datetime) -> Sequence[HourCount]:
    """See ``review_ports.Review``."""
    query = statement(connection.dialect.name, reach, since, until)
    if query is None:
        return ()
    return tuple(
        HourCount(
            hour=datetime.fromisoformat(hour).replace(tzinfo=UTC),
            channel=Channel(channel),
            action=Action(action),
            count=count,
        )
        for hour, channel, action, count in connection.execute(query)
    )


def statement(dialect: str, reach: Reach, since: datetime, until: datetime) -> Select[str, str, str, int] | None:
    """The query; None where nothing is within reach."""
    table = VerdictRecord
    keys = (_hour(dialect), table.channel, table.action)
    query = select(*keys, func.count()).where(table.received_at >= since, table.received_at < until, WAS_SENT)
    query = query.group_by(*keys)
    if reach.is_everybody:
        return query
    arms = list(_arms(reach, since, until))
    if not arms:
        return None
    # A verdict for two recipients within reach counts once: a union drops what is there twice.
    own = union(*arms).subquery()
    return query.join_from(own, table, (table.id == own.c.id) & (table.part == own.c.part))


def _arms(reach: Reach, since: datetime, until: datetime) -> Iterator[Select[str, str]]:
    first, last = first_id(since - _MINTED_WITHIN), first_id(until + _MINTED_WITHIN)
    for table in (VerdictRecord, VerdictRecipientRecord):
        for is_reached in reached(reach, table.recipient_key, table.recipient_domain):
            yield select(table.id, table.part).where(is_reached, table.id >= first, table.id < last)


def _hour(dialect: str) -> ColumnElement[str]:
    """The hour of arrival, UTC: ``2026-01-01 00``."""
    if dialect == "sqlite":
        # Times stand there as text, in UTC.
        return func.substr(cast(VerdictRecord.received_at, String), 1, _HOUR_CHARS)
    # Literals: PostgreSQL does not see that two parameters of SELECT and GROUP BY are the same.
    utc = func.timezone(literal_column("'UTC'"), VerdictRecord.received_at)
    return func.to_char(utc, literal_column("'YYYY-MM-DD HH24'"))

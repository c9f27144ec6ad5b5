"""Verdicts that a query asks for, found as held messages are (``held_list``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Select, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from filterd.core.access import Reach
from filterd.core.envelope import MessageId
from filterd.errors import NotFound
from filterd.ports import VerdictRow
from filterd.review_ports import VerdictQuery
from filterd.store.finding import Condition, among, before, has, key_needle, looked_up, of_message
from filterd.store.recipients import InReach, VerdictRecipientRecord, in_reach
from filterd.store.schema import VerdictRecord
from filterd.store.verdicts import message_of, verdict_from

Key = tuple[str, str]
"""Id and part of a verdict."""


def listed(connection: Connection, query: VerdictQuery) -> Sequence[VerdictRow]:
    """See ``review_ports.Review``."""
    found = keys(connection, query)
    ids = VerdictRecord.id.in_({id for id, _ in found})
    rows = connection.execute(select(VerdictRecord).where(ids).order_by(VerdictRecord.id.desc(), VerdictRecord.part))
    return tuple(_within(verdict_from(row), query.reach) for row in rows if (row.id, row.part) in found)


def keys(connection: Connection, query: VerdictQuery) -> set[Key]:
    """Id and part of the newest that fit, and of all that fit on the last of these messages."""
    reaches = None if query.reach.is_everybody else Reaches.of(connection, query.reach)
    newest_first = arms(connection.dialect.name, query, reaches)
    found = sorted(_read(connection, [arm.limit(query.limit) for arm in newest_first]), reverse=True)[: query.limit]
    if len(found) < query.limit:
        return set(found)
    # The next page begins below this id.
    last = found[-1][0]
    return {*found, *_read(connection, arms(connection.dialect.name, query, reaches, only=last))}


def _read(connection: Connection, arms: Iterable[Select[str, str]]) -> set[Key]:
    return {(id, part) for arm in arms for id, part in connection.execute(arm)}


def verdicts(connection: Connection, id: MessageId, reach: Reach) -> Sequence[VerdictRow]:
    """See ``review_ports.Review``. Raises NotFound."""
    try:
        message = message_of(connection, id)
    except NotFound:
        message = ""
    rows = connection.execute(select(VerdictRecord).where(VerdictRecord.id == message).order_by(VerdictRecord.part))
    found = tuple(_within(verdict_from(row), reach) for row in rows)
    shown = tuple(row for row in found if row.recipients)
    if not shown:
        # In the same words for a message that is not there: who asks must not learn which it is.
        raise NotFound(f"no message {id}")
    return shown


def _within(row: VerdictRow, reach: Reach) -> VerdictRow:
    return replace(row, recipients=reach.part_of(row.recipients))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaches:
    """What is within reach, as conditions for an index each."""

    alone: Sequence[InReach]
    """On verdicts for one recipient."""
    among: Sequence[InReach]
    """On recipients of the others."""

    @classmethod
    def of(cls, connection: Connection, reach: Reach) -> Reaches:
        """Those of a reach that is not everybody's."""
        own, shared = VerdictRecord, VerdictRecipientRecord
        return cls(
            alone=tuple(in_reach(connection, reach, own.recipient_key, own.recipient_domain)),
            among=tuple(in_reach(connection, reach, shared.recipient_key, shared.recipient_domain)),
        )


def arms(
    dialect: str, query: VerdictQuery, reaches: Reaches | None, *, only: str | None = None
) -> Iterator[Select[str, str]]:
    """Selects of keys, the newest first, which together find everything; ``only`` what is of one message."""
    own, shared = VerdictRecord, VerdictRecipientRecord
    conditions = [*_conditions(dialect, query), *_bounds(own.id, query, only)]
    if reaches is None:
        found = select(own.id, own.part).where(*conditions, *_by_recipient(dialect, query))
        yield found.order_by(own.id.desc(), own.part.desc())
        return
    alone = select(own.id, own.part).where(*conditions, *_by_own_recipient(dialect, query, own.recipient_key))
    for each in reaches.alone:
        yield each.newest(alone)
    several = [*_conditions(dialect, query), *_by_own_recipient(dialect, query, shared.recipient_key)]
    verdict = select(own.id).where(own.id == shared.id, own.part == shared.part, *several)
    among = select(shared.id, shared.part).where(*_bounds(shared.id, query, only), looked_up(verdict, shared))
    for each in reaches.among:
        yield each.newest(among.distinct())


def _bounds(id: InstrumentedAttribute[str], query: VerdictQuery, only: str | None) -> list[Condition]:
    return before(id, query.before) if only is None else [id == only]


def _conditions(dialect: str, query: VerdictQuery) -> list[Condition]:
    table = VerdictRecord
    conditions = of_message(table, query, table.received_at)
    conditions += [*among(table.action, query.actions), *among(table.outcome, query.outcomes)]
    if query.sender:
        conditions.append(has(dialect, table.sender_key, key_needle(query.sender)))
    return conditions


def _by_own_recipient(dialect: str, query: VerdictQuery, key: InstrumentedAttribute[str]) -> list[Condition]:
    """What is asked of the recipient that an arm is about."""
    conditions: list[Condition] = []
    if query.recipient:
        conditions.append(has(dialect, key, key_needle(query.recipient)))
    if query.text:
        text = key_needle(query.text)
        conditions.append(or_(has(dialect, VerdictRecord.sender_key, text), has(dialect, key, text)))
    return conditions


def _by_recipient(dialect: str, query: VerdictQuery) -> list[Condition]:
    """What is asked of any recipient."""
    conditions: list[Condition] = []
    if query.recipient:
        conditions.append(_has_recipient(dialect, query.recipient))
    if query.text:
        in_sender = has(dialect, VerdictRecord.sender_key, key_needle(query.text))
        conditions.append(or_(in_sender, _has_recipient(dialect, query.text)))
    return conditions


def _has_recipient(dialect: str, text: str) -> Condition:
    shared, part = VerdictRecipientRecord, key_needle(text)
    several = select(shared.id, shared.part).where(has(dialect, shared.recipient_key, part))
    in_several = tuple_(VerdictRecord.id, VerdictRecord.part).in_(several)
    return or_(has(dialect, VerdictRecord.recipient_key, part), in_several)

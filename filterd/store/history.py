"""Verdicts that a query asks for, found as held messages are (``held_list``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlalchemy import Connection, Select, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from filterd.core.access import Reach
from filterd.core.envelope import MessageId
from filterd.errors import NotFound
from filterd.ports import VerdictRow
from filterd.review_ports import VerdictQuery
from filterd.store.finding import Condition, among, before, has, key_needle, of_message
from filterd.store.recipients import VerdictRecipientRecord, reached
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
    found = sorted(_read(connection, query, query.limit), reverse=True)[: query.limit]
    if len(found) < query.limit:
        return set(found)
    # The next page begins below this id.
    last = found[-1][0]
    return {*found, *_read(connection, query, None, only=last)}


def _read(connection: Connection, query: VerdictQuery, most: int | None, only: str | None = None) -> set[Key]:
    found: set[Key] = set()
    for arm in arms(connection.dialect.name, query):
        page = arm if only is None else arm.where(arm.selected_columns[0] == only)
        found.update((id, part) for id, part in connection.execute(page.limit(most)))
    return found


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


def arms(dialect: str, query: VerdictQuery) -> Iterator[Select[str, str]]:
    """Selects of keys, the newest first, which together find everything."""
    own, shared = VerdictRecord, VerdictRecipientRecord
    conditions = _conditions(dialect, query)
    newest = (own.id.desc(), own.part.desc())
    if query.reach.is_everybody:
        conditions += [*_by_recipient(dialect, query), *before(own.id, query.before)]
        yield select(own.id, own.part).where(*conditions).order_by(*newest)
        return
    only = [*conditions, *_by_own_recipient(dialect, query, own.recipient_key)]
    for is_reached in reached(query.reach, own.recipient_key, own.recipient_domain):
        yield select(own.id, own.part).where(is_reached, *only, *before(own.id, query.before)).order_by(*newest)
    several = [*conditions, *_by_own_recipient(dialect, query, shared.recipient_key)]
    fits = select(own.id).where(own.id == shared.id, own.part == shared.part, *several).exists()
    for is_reached in reached(query.reach, shared.recipient_key, shared.recipient_domain):
        found = select(shared.id, shared.part).where(is_reached, *before(shared.id, query.before), fits)
        yield found.distinct().order_by(shared.id.desc(), shared.part.desc())


def _conditions(dialect: str, query: VerdictQuery) -> list[Condition]:
    table = VerdictRecord
    conditions = of_message(table, query)
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

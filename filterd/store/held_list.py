"""Held messages that a query asks for: ids by an index first, then the rows of one page.

For each state, or for what is within reach, the newest ids are read by an index, and these lists merged. A page costs
what its rows cost, or what at most ``recipients.MANY`` cost; only a filter that hardly anything passes looks at all
there is, and at no body even then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select

from filterd.core.envelope import Channel
from filterd.ports import HeldState, HeldSummary
from filterd.review_ports import COUNT_LIMIT, HeldPage, HeldQuery
from filterd.store.finding import Condition, before, has, key_needle, looked_up, needle, of_message, unindexed
from filterd.store.held_rows import summary_from
from filterd.store.recipients import HeldRecipientRecord, InReach, are_many, in_reach, reached
from filterd.store.schema import HeldRecord

_PASSING = frozenset({HeldState.PENDING, HeldState.RELEASING, HeldState.ABORTED})
"""States that few messages are in at any time."""
_SHOWN = [c for c in HeldRecord.__table__.c if c.name not in ("body", "envelope")]


def listed(connection: Connection, query: HeldQuery) -> Sequence[HeldSummary]:
    """See ``review_ports.Review``."""
    return _summaries(connection, query, _ids(connection, query, query.limit))


def count(connection: Connection, query: HeldQuery) -> int:
    """See ``review_ports.Review``."""
    return len(_ids(connection, query, COUNT_LIMIT))


def page(connection: Connection, query: HeldQuery) -> HeldPage:
    """See ``review_ports.Review``. What counting finds is not looked for again."""
    counted = _ids(connection, replace(query, before=None), COUNT_LIMIT)
    ids = [id for id in counted if query.before is None or id < query.before][: query.limit]
    if len(ids) < query.limit and len(counted) == COUNT_LIMIT:
        ids = _ids(connection, query, query.limit)
    return HeldPage(held=_summaries(connection, query, ids), count=len(counted))


def _summaries(connection: Connection, query: HeldQuery, ids: Sequence[str]) -> Sequence[HeldSummary]:
    rows = connection.execute(select(*_SHOWN).where(HeldRecord.id.in_(ids)).order_by(HeldRecord.id.desc()))
    return tuple(summary_from(row, query.reach) for row in rows)


def _ids(connection: Connection, query: HeldQuery, most: int) -> list[str]:
    """The newest ids that fit."""
    found: set[str] = set()
    # What is asked of recipients is looked for again in each state: not in those that no message is in.
    states = frozenset(state for state in query.states if _has_any(connection, state))
    for arm in arms(connection, replace(query, states=states)):
        found.update(connection.scalars(arm.limit(most)))
    return sorted(found, reverse=True)[:most]


def _has_any(connection: Connection, state: HeldState) -> bool:
    return connection.scalar(select(HeldRecord.id).where(HeldRecord.state == state).limit(1)) is not None


def arms(connection: Connection, query: HeldQuery) -> Iterator[Select[Any]]:
    """Selects of ids, the newest first, which together find everything.

    Which of the two tables leads is said here, not left to a planner: that of recipients where it has little to show.
    """
    dialect, own = connection.dialect.name, HeldRecipientRecord
    if query.reach.is_everybody:
        yield from _led_by_held(dialect, query, query.states, [])
        return
    reaches = reached(query.reach, own.recipient_key, own.recipient_domain)
    if reaches:
        is_wide = are_many(connection, select(own.held_id).where(or_(*reaches)))
        led = query.states if is_wide else query.states & _PASSING
        yield from _led_by_held(dialect, query, led, reaches)
        if led != query.states:
            few = in_reach(connection, query.reach, own.recipient_key, own.recipient_domain)
            yield from _led_by_recipients(dialect, query, query.states - led, few)


def _led_by_held(
    dialect: str, query: HeldQuery, states: Iterable[HeldState], reaches: Sequence[Condition]
) -> Iterator[Select[Any]]:
    """One select for each state; of everything where there are no ``reaches``."""
    own = HeldRecipientRecord
    conditions = [*_conditions(dialect, query), *_by_recipient(dialect, query), *before(HeldRecord.id, query.before)]
    if reaches:
        is_own = (own.held_id == HeldRecord.id, or_(*reaches), *_by_own_recipient(dialect, query))
        conditions.append(select(own.held_id).where(*is_own).correlate(HeldRecord).exists())
    for state in sorted(states):
        yield select(HeldRecord.id).where(HeldRecord.state == state, *conditions).order_by(HeldRecord.id.desc())


def _led_by_recipients(
    dialect: str, query: HeldQuery, states: Iterable[HeldState], reaches: Iterable[InReach]
) -> Iterator[Select[Any]]:
    """One select for each of the ``reaches``."""
    id, own = HeldRecord.id, HeldRecipientRecord.held_id
    # With "=", SQLite takes the index of unique ids, and reads each row with its body.
    is_same = id.between(own, own) if dialect == "sqlite" else id == own
    fits = (HeldRecord.state.in_(sorted(states)), is_same)
    row = select(id).where(*fits, *_conditions(dialect, query), *_by_own_recipient(dialect, query))
    found = select(own).where(*before(own, query.before), looked_up(row, HeldRecipientRecord)).distinct()
    for each in reaches:
        yield each.newest(found)


def _conditions(dialect: str, query: HeldQuery) -> list[Condition]:
    # Once ANALYZE has been run, SQLite may take the index of times, and read each row with its body.
    received_at = unindexed(HeldRecord.received_at) if dialect == "sqlite" else HeldRecord.received_at
    conditions = of_message(HeldRecord, query, received_at)
    if query.sender:
        conditions.append(has(dialect, HeldRecord.sender_key, key_needle(query.sender)))
    if query.subject:
        conditions.append(_has_subject(dialect, needle(query.subject)))
    return conditions


def _by_own_recipient(dialect: str, query: HeldQuery) -> list[Condition]:
    """What is asked of the recipient that an arm is about."""
    key = HeldRecipientRecord.recipient_key
    conditions: list[Condition] = []
    if query.recipient:
        conditions.append(has(dialect, key, key_needle(query.recipient)))
    if query.text:
        in_row = has(dialect, HeldRecord.search, needle(query.text))
        conditions.append(or_(in_row, has(dialect, key, key_needle(query.text))))
    return conditions


def _by_recipient(dialect: str, query: HeldQuery) -> list[Condition]:
    """What is asked of any recipient."""
    own = HeldRecipientRecord
    conditions: list[Condition] = []
    if query.recipient:
        named = select(own.held_id).where(has(dialect, own.recipient_key, key_needle(query.recipient)))
        conditions.append(HeldRecord.id.in_(named))
    if query.text:
        named = select(own.held_id).where(has(dialect, own.recipient_key, key_needle(query.text)))
        conditions.append(or_(has(dialect, HeldRecord.search, needle(query.text)), HeldRecord.id.in_(named)))
    return conditions


def _has_subject(dialect: str, text: str) -> Condition:
    """``text`` is in what a mail is found by more often than in its addresses."""

    def taken_by(column: Any) -> Any:
        return func.length(column) - func.length(func.replace(column, text, ""))

    keys = (HeldRecord.sender_key, HeldRecord.recipient_key)
    # The subject comes last. A key is never longer than its address, so this begins no later than the subject does.
    ends = func.substr(HeldRecord.search, func.length(keys[0]) + func.length(keys[1]) + 1)
    is_more = taken_by(HeldRecord.search) > taken_by(keys[0]) + taken_by(keys[1])
    is_mail = HeldRecord.channel == Channel.EMAIL.value
    return and_(is_mail, has(dialect, HeldRecord.search, text), has(dialect, ends, text), is_more)

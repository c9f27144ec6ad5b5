"""Held messages that a query asks for: ids by an index first, then the rows of one page.

For each state or key within reach the newest ids are read in the order of an index, and these lists merged. A page
costs what its rows cost; only a filter that hardly anything passes looks at all there is, and at no body even then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select

from filterd.core.envelope import Channel
from filterd.ports import HeldState, HeldSummary
from filterd.review_ports import COUNT_LIMIT, HeldQuery
from filterd.store.finding import Condition, before, has, key_needle, needle, of_message
from filterd.store.held_rows import summary_from
from filterd.store.recipients import HeldRecipientRecord, reached
from filterd.store.schema import HeldRecord

_PASSING = frozenset({HeldState.PENDING, HeldState.RELEASING, HeldState.ABORTED})
"""States that few messages are in at any time."""
_WIDE = 10_000
"""Recipients within reach from which it is better to look through what is held."""
_SHOWN = [c for c in HeldRecord.__table__.c if c.name not in ("body", "envelope")]


def listed(connection: Connection, query: HeldQuery) -> Sequence[HeldSummary]:
    """See ``review_ports.Review``."""
    page = _ids(connection, query, query.limit)
    rows = connection.execute(select(*_SHOWN).where(HeldRecord.id.in_(page)).order_by(HeldRecord.id.desc()))
    return tuple(summary_from(row, query.reach) for row in rows)


def count(connection: Connection, query: HeldQuery) -> int:
    """See ``review_ports.Review``."""
    return len(_ids(connection, query, COUNT_LIMIT))


def _ids(connection: Connection, query: HeldQuery, most: int) -> list[str]:
    """The newest ids that fit."""
    found: set[str] = set()
    for arm in arms(connection, query):
        found.update(connection.scalars(arm.limit(most)))
    return sorted(found, reverse=True)[:most]


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
        led = query.states if _is_wide(connection, reaches) else query.states & _PASSING
        yield from _led_by_held(dialect, query, led, reaches)
        yield from _led_by_recipients(dialect, query, query.states - led, reaches)


def _is_wide(connection: Connection, reaches: Sequence[Condition]) -> bool:
    some = select(HeldRecipientRecord.held_id).where(or_(*reaches)).limit(_WIDE).subquery()
    return connection.scalar(select(func.count()).select_from(some)) == _WIDE


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
    dialect: str, query: HeldQuery, states: Iterable[HeldState], reaches: Sequence[Condition]
) -> Iterator[Select[Any]]:
    """One select for each of the ``reaches``."""
    id, own = HeldRecord.id, HeldRecipientRecord.held_id
    # With "=", SQLite takes the index of unique ids, and reads each row with its body.
    is_same = id.between(own, own) if dialect == "sqlite" else id == own
    fits = (HeldRecord.state.in_(sorted(states)), is_same)
    row = select(id).where(*fits, *_conditions(dialect, query), *_by_own_recipient(dialect, query))
    for is_reached in reaches if states else ():
        found = select(own).where(is_reached, *before(own, query.before), row.correlate(HeldRecipientRecord).exists())
        yield found.distinct().order_by(own.desc())


def _conditions(dialect: str, query: HeldQuery) -> list[Condition]:
    conditions = of_message(HeldRecord, query)
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

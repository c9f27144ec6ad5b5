"""Held messages that a query asks for: ids by an index first, then the rows of one page.

For each state or key within reach the newest ids are read in the order of an index, and these lists merged. A page
costs what its rows cost; only a filter that hardly anything passes looks at all there is, and at no body even then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    for arm in arms(connection.dialect.name, query):
        found.update(connection.scalars(arm.limit(most)))
    return sorted(found, reverse=True)[:most]


def arms(dialect: str, query: HeldQuery) -> Iterator[Select[Any]]:
    """Selects of ids, the newest first, which together find everything."""
    newest = HeldRecord.id.desc()
    conditions = [*_conditions(dialect, query), *before(HeldRecord.id, query.before)]
    if query.reach.is_everybody:
        conditions += _by_recipient(dialect, query)
        for state in sorted(query.states):
            yield select(HeldRecord.id).where(HeldRecord.state == state, *conditions).order_by(newest)
        return
    own = HeldRecipientRecord
    reaches = reached(query.reach, own.recipient_key, own.recipient_domain)
    conditions += [_is_same(dialect), *_by_own_recipient(dialect, query)]
    # Which of the two tables leads is said here, not left to a planner: a join could begin with all that is held.
    if passing := sorted(query.states & _PASSING) if reaches else []:
        is_own = select(own.held_id).where(or_(*reaches), *conditions).correlate(HeldRecord).exists()
        yield select(HeldRecord.id).where(HeldRecord.state.in_(passing), is_own).order_by(newest)
    if lasting := sorted(query.states - _PASSING):
        fits = select(HeldRecord.id).where(HeldRecord.state.in_(lasting), *conditions).correlate(own).exists()
        for is_reached in reaches:
            found = select(own.held_id).where(is_reached, *before(own.held_id, query.before), fits)
            yield found.distinct().order_by(own.held_id.desc())


def _is_same(dialect: str) -> Condition:
    """The held message is that of the recipient."""
    id, own = HeldRecord.id, HeldRecipientRecord.held_id
    # With "=", SQLite takes the index of unique ids and reads each row with its body: a third of a second for 100,000.
    return id.between(own, own) if dialect == "sqlite" else id == own


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

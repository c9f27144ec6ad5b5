"""Conditions that searches of held messages and of verdicts have in common."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, UnaryExpression, func
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute
from sqlalchemy.sql.operators import custom_op

from filterd.core.envelope import MessageId
from filterd.review_ports import HeldQuery, VerdictQuery
from filterd.store.schema import HeldRecord, VerdictRecord, lookup_key, plain

Condition = ColumnElement[bool]
T = TypeVar("T")


def of_message(
    table: type[HeldRecord | VerdictRecord],
    query: HeldQuery | VerdictQuery,
    received_at: ColumnElement[datetime] | InstrumentedAttribute[datetime],
) -> list[Condition]:
    """What ``query`` asks for that is in a column of its own."""
    conditions = among(table.reason, query.reasons)
    if query.since is not None:
        conditions.append(received_at >= query.since)
    if query.until is not None:
        conditions.append(received_at < query.until)
    if query.channel is not None:
        conditions.append(table.channel == query.channel.value)
    if query.least_probability is not None:
        conditions.append(table.probability >= query.least_probability)
    if query.most_probability is not None:
        conditions.append(table.probability <= query.most_probability)
    return conditions


def unindexed(column: InstrumentedAttribute[T]) -> ColumnElement[T]:
    """The same column, by which SQLite uses no index. Source: sqlite.org/optoverview.html, section 7."""
    return UnaryExpression(column.expression, operator=custom_op("+"), type_=column.type)


def before(id: InstrumentedAttribute[str], last: MessageId | None) -> list[Condition]:
    """What comes behind a page that ends with ``last``; no condition for the first page."""
    return [] if last is None else [id < last]


def looked_up(row: Select[Any], of: type[DeclarativeBase]) -> Condition:
    """There is such a ``row``, looked for by its key for each of ``of``.

    PostgreSQL would make a join of EXISTS, and read all of the other table where it hopes for a page soon.
    """
    return row.correlate(of).limit(1).scalar_subquery().is_not(None)


def among(column: InstrumentedAttribute[str], values: Iterable[str]) -> list[Condition]:
    """The column is one of ``values``; no condition where there are none."""
    some = sorted(values)
    return [column.in_(some)] if some else []


def has(dialect: str, column: ColumnElement[str] | InstrumentedAttribute[str], part: str) -> Condition:
    """``part`` is in the column: half the time of LIKE, and nothing to escape."""
    position = func.instr(column, part) if dialect == "sqlite" else func.strpos(column, part)
    return position > 0


def needle(text: str) -> str:
    """What is looked for in text that is in lower case."""
    return plain(text).lower()


def key_needle(text: str) -> str:
    """What is looked for in keys of addresses."""
    return lookup_key(text)

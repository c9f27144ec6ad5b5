"""What pages read in PostgreSQL: as many rows as somebody has, not as many as there are, and of others a page.

SQLite says it in its plans (``tests/filterd/test_store_review.py``).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import Connection, Select, text

from filterd.core.access import EVERYBODY, Reach
from filterd.core.verdict import Reason
from filterd.review_ports import HeldQuery, VerdictQuery
from filterd.store import held_list, history, recipients
from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock
from tests.bench.full_quarantine import DOMAINS, fill
from tests.servers.postgres import fresh_database

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

MESSAGES = 2_000
PAGE = 20
SOME = [f"p{n}@d{n % DOMAINS}.example" for n in range(12)]
REACHES = {
    "everybody": EVERYBODY,
    "an address": Reach(addresses=frozenset(SOME[:1])),
    "addresses": Reach(addresses=frozenset(SOME)),
    "a domain": Reach(domains=frozenset({"d3.example"})),
    "domains": Reach(domains=frozenset({"d3.example", "d4.example"})),
}
FILTERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "text that is not there": {"text": "xyzzy"},
    "sender that is not there": {"sender": "xyzzy"},
    "reason that is not there": {"reasons": frozenset({Reason.DENIED})},
}
TIMES = 3
"""A row of a recipient, of its message and of its entry in an index."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def full(postgresql: str) -> AsyncIterator[SqlStore]:
    """A quarantine with as many messages as make a plan matter; no plan is chosen because the table is short."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(fresh_database(postgresql))
        store = await stack.enter_async_context(SqlStore(database_url(url, ""), clock=FixedClock()))
        await store.migrate()
        await fill(store, MESSAGES)
        yield store


def rows_read(connection: Connection, arms: Iterable[Select[*tuple[Any, ...]]]) -> int:
    """How many rows of tables and indexes were looked at for a page."""
    return sum(_rows_read(_explained(connection, arm.limit(PAGE))) for arm in arms)


def _explained(connection: Connection, arm: Select[*tuple[Any, ...]]) -> dict[str, Any]:
    compiled = str(arm.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})).replace("%%", "%")
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    (told,) = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {compiled}").scalars()
    plan: dict[str, Any] = (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]
    return plan


def _rows_read(plan: dict[str, Any]) -> int:
    removed = sum(plan.get(f"Rows Removed by {what}", 0) for what in ("Filter", "Index Recheck"))
    own = (plan["Actual Rows"] + removed) * plan["Actual Loops"] if "Relation Name" in plan else 0
    return int(own) + sum(map(_rows_read, plan.get("Plans", ())))


async def rows_of(store: SqlStore, reach: Reach) -> int:
    """How many recipients of held messages are within reach."""
    own = recipients.HeldRecipientRecord
    keys = recipients.reached(reach, own.recipient_key, own.recipient_domain)

    def count(connection: Connection) -> int:
        return sum(len(connection.execute(own.__table__.select().where(each)).all()) for each in keys)

    return await store._read(count)


@pytest.mark.parametrize("is_wide", [False, True], ids=["narrow", "wide"])
@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("reach", [*REACHES.values()][1:], ids=[*REACHES][1:])
async def test_verdicts_within_reach_cost_what_is_within_reach(
    full: SqlStore, monkeypatch: pytest.MonkeyPatch, reach: Reach, filters: dict[str, Any], *, is_wide: bool
) -> None:
    """A page of somebody's history reads their own rows, whatever is asked for."""
    if is_wide:
        monkeypatch.setattr(recipients, "MANY", 0)
    query = VerdictQuery(reach=reach, **filters)

    def read(connection: Connection) -> int:
        return rows_read(connection, history.arms("postgresql", query, history.Reaches.of(connection, reach)))

    found, own = await full._read(read), await rows_of(full, reach)

    assert found <= TIMES * own


@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("reach", [*REACHES.values()][1:], ids=[*REACHES][1:])
async def test_held_messages_within_reach_cost_what_is_within_reach(
    full: SqlStore, reach: Reach, filters: dict[str, Any]
) -> None:
    """A page of somebody's quarantine reads their own rows, whatever is asked for."""
    query = HeldQuery(reach=reach, **filters)

    found = await full._read(lambda c: rows_read(c, held_list.arms(c, query)))

    assert found <= TIMES * await rows_of(full, reach)


@pytest.mark.parametrize("what", ["held", "history"])
async def test_newest_page_of_everything_costs_a_page(full: SqlStore, what: str) -> None:
    """Without a filter, no more rows are read than are shown."""

    def read(connection: Connection) -> int:
        if what == "held":
            return rows_read(connection, held_list.arms(connection, HeldQuery()))
        return rows_read(connection, history.arms("postgresql", VerdictQuery(), None))

    assert await full._read(read) <= 2 * PAGE

"""What an overview costs: no table is read from end to end, and one person's figures cost what their mail does."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.dialects import sqlite

from filterd.clock import first_id
from filterd.core.access import EVERYBODY, Reach
from filterd.core.envelope import MessageId
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.store import traffic
from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock, a_scan, an_envelope

NOW = datetime(2026, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)
PER_DAY = 700
BOB = Reach(addresses=frozenset({"bob@example.net"}))
OUTCOME = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    async with SqlStore(database_url(f"sqlite:///{tmp_path}/s.db", ""), clock=FixedClock(NOW)) as store:
        await store.migrate()
        yield store


async def fill(store: SqlStore) -> None:
    """A week's mail, and of it a message a day for Bob."""
    decision = Decision(action=Action.ACCEPT, reason=Reason.HAM, scan=a_scan(0.1))
    for day in range(7):
        verdicts = []
        for n in range(PER_DAY):
            at = NOW - DAY * (day + 1) + DAY * n / PER_DAY
            to = "bob@example.net" if n == 0 else f"u{n}@example.org"
            id = MessageId(f"{int(first_id(at), 16) + n:032x}")
            envelope = replace(an_envelope("a@b.example", to, id=id), received_at=at)
            verdicts.append(Verdict.of(envelope, 1, decision, OUTCOME, {}))
        await store.record(*verdicts)


@pytest.mark.parametrize(
    ("reach", "index"),
    [
        (EVERYBODY, "ix_verdict_received_at (received_at>? AND received_at<?)"),
        (BOB, "ix_verdict_recipient_key_id (recipient_key=? AND id>? AND id<?)"),
        (BOB, "ix_verdict_recipient_recipient_key_id (recipient_key=? AND id>? AND id<?)"),
        (
            Reach(domains=frozenset({"example.net"})),
            "ix_verdict_recipient_domain_id (recipient_domain=? AND id>? AND id<?)",
        ),
    ],
    ids=["everybody", "bob", "bob among others", "domain"],
)
async def test_only_the_mail_of_the_time_and_the_reach_is_looked_at(store: SqlStore, reach: Reach, index: str) -> None:
    query = written(reach, DAY)

    def explain(connection: Connection) -> list[str]:
        return [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))]

    plan = await store._read(explain)

    assert any(index in step for step in plan), plan
    assert not [step for step in plan if step.startswith("SCAN verdict")], plan


async def test_one_person_s_week_costs_a_fraction_of_everybody_s(store: SqlStore, tmp_path: Path) -> None:
    await fill(store)

    with closing(sqlite3.connect(tmp_path / "s.db")) as database:
        bob, everybody = (steps(database, written(reach, 7 * DAY)) for reach in (BOB, EVERYBODY))

    assert bob < everybody / 100


def written(reach: Reach, back: timedelta) -> str:
    """The statement of the time until now, as SQLite is given it."""
    query = traffic.statement("sqlite", reach, NOW - back, NOW)
    assert query is not None
    return str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))


def steps(database: sqlite3.Connection, statement: str) -> int:
    """Instructions of SQLite's machine that ``statement`` takes: the same however busy the computer is."""
    counted = count()
    database.set_progress_handler(lambda: next(counted) and None, 1)
    assert database.execute(statement).fetchall()
    return next(counted)

"""What people look through is found by indexes, whoever asks for what: a fifth of a second for 100,000."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Select, text

from filterd.core.access import EVERYBODY, Reach
from filterd.core.envelope import Channel, MessageId
from filterd.core.verdict import Reason
from filterd.errors import NotFound
from filterd.ports import HeldState
from filterd.review_ports import HeldQuery, VerdictQuery
from filterd.store import held_list, history, quarantine, recipients, split
from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock, an_envelope
from tests.contract.empty_database import empty_database
from tests.contract.stores import HOLD

REACHES = {
    "everybody": EVERYBODY,
    "user": Reach(addresses=frozenset({"bob@example.net", "15550002"})),
    "moderator": Reach(addresses=frozenset({"bob@example.net"}), domains=frozenset({"example.net", "example.org"})),
}
FILTERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "text": {"text": "offer"},
    "sender": {"sender": "alice"},
    "recipient": {"recipient": "bob"},
    "time": {"since": datetime(2026, 1, 1, tzinfo=UTC), "until": datetime(2026, 2, 1, tzinfo=UTC)},
    "reason": {"reasons": frozenset({Reason.SPAM})},
    "probability": {"least_probability": 0.5, "most_probability": 0.9},
    "channel": {"channel": Channel.SMS},
    "page": {"before": MessageId("f" * 32)},
}


@pytest.fixture(scope="module")
def migrated() -> bytes:
    return empty_database()


@pytest.fixture
async def store(migrated: bytes, tmp_path: Path) -> AsyncIterator[SqlStore]:
    path = tmp_path / "s.db"
    path.write_bytes(migrated)
    async with SqlStore(database_url(f"sqlite:///{path}", ""), clock=FixedClock()) as store:
        yield store


def _plan(connection: Connection, arm: Select[*tuple[Any, ...]]) -> list[str]:
    compiled = arm.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
    return [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}".replace(":", "\\:")))]


@pytest.mark.parametrize("is_wide", [False, True], ids=["narrow", "wide"])
@pytest.mark.parametrize(
    "filters",
    [*FILTERS.values(), {"subject": "offer"}, {"states": frozenset(HeldState)}],
    ids=[*FILTERS, "a subject", "any state"],
)
@pytest.mark.parametrize("reach", REACHES.values(), ids=REACHES)
async def test_held_messages_are_found_without_their_bodies(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, reach: Reach, filters: dict[str, Any], *, is_wide: bool
) -> None:
    if is_wide:
        monkeypatch.setattr(recipients, "MANY", 0)
    query = HeldQuery(reach=reach, **filters)
    plans = await store._read(lambda c: [_plan(c, arm.limit(50)) for arm in held_list.arms(c, query)])
    steps = [step for plan in plans for step in plan if step.split()[1] == "held"]

    assert steps
    assert all(step.startswith("SEARCH held USING COVERING INDEX") and "(state=?" in step for step in steps), plans
    is_sorting = len(reach.addresses) > 1 or len(reach.domains) > 1
    assert is_wide or is_sorting or not any("USE TEMP B-TREE" in step for plan in plans for step in plan), plans


@pytest.mark.parametrize("is_wide", [False, True], ids=["narrow", "wide"])
@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("reach", [REACHES["user"], REACHES["moderator"]], ids=["user", "moderator"])
async def test_verdicts_within_reach_are_found_by_an_index(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, reach: Reach, filters: dict[str, Any], *, is_wide: bool
) -> None:
    if is_wide:
        monkeypatch.setattr(recipients, "MANY", 0)
    query = VerdictQuery(reach=reach, **filters)

    def explain(connection: Connection) -> list[list[str]]:
        reaches = history.Reaches.of(connection, reach)
        return [_plan(connection, arm.limit(50)) for arm in history.arms("sqlite", query, reaches)]

    plans = await store._read(explain)
    steps = [step for plan in plans for step in plan if step.startswith(("SCAN", "SEARCH"))]

    # What few recipients have is taken together first, and that is all that is looked through.
    assert all(step.startswith("SEARCH") or step.split()[1].startswith("anon") for step in steps), plans
    assert any("ix_verdict_recipient_key_id (recipient_key=?" in step for step in steps), plans
    if is_wide:
        assert not any("USE TEMP B-TREE FOR ORDER BY" in step for plan in plans for step in plan), plans


async def test_d9_message_that_somebody_else_has_split_since_is_not_acted_on_for_the_others(store: SqlStore) -> None:
    """Two processes find the message for Bob; the slower one must not get what is left, which is Eve's."""
    bob = Reach(addresses=frozenset({"bob@example.net"}))
    await store.hold(an_envelope("alice@example.org", "bob@example.net", "eve@example.org"), b"text", HOLD)

    def act(connection: Connection) -> None:
        row = quarantine.find(connection, an_envelope().id, bob)
        split.split_off(connection, row, bob)
        with pytest.raises(NotFound):
            split.split_off(connection, row, bob)

    await store._write(act)

"""What only a database on the other end of a connection can do: go away."""

from __future__ import annotations

import pytest

from filterd.core.verdict import Action, Decision, Reason
from filterd.errors import ConfigError, StoreUnavailable
from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock, a_scan, an_envelope
from tests.servers import postgres

HOLD = Decision(action=Action.QUARANTINE, reason=Reason.SPAM, scan=a_scan(0.97))

pytestmark = pytest.mark.real


async def test_cut_connections_are_replaced(postgresql: str) -> None:
    async with (
        postgres.fresh_database(postgresql) as url,
        SqlStore(database_url(url, ""), clock=FixedClock()) as store,
    ):
        await store.migrate()
        await store.hold(an_envelope(id="1" * 32), b"first", HOLD)
        await store.list_held()
        await postgres.cut_connections(url)

        await store.hold(an_envelope(id="2" * 32), b"second", HOLD)
        assert len(await store.list_held()) == 2


async def test_server_that_stopped_is_one_clear_line() -> None:
    programs = postgres.find_programs()
    assert programs is not None
    states: list[tuple[bool, str]] = []
    with postgres.running(programs) as url:
        store = SqlStore(
            database_url(url, ""), clock=FixedClock(), timeout_seconds=2, on_state=lambda *state: states.append(state)
        )
        await store.__aenter__()
        await store.migrate()
        await store.hold(an_envelope(), b"x", HOLD)
    try:
        for attempt in (store.hold(an_envelope(), b"x", HOLD), store.ping(), store.list_held()):
            with pytest.raises(StoreUnavailable) as caught:
                await attempt
            assert "\n" not in caught.value.detail
    finally:
        await store.__aexit__()
    assert [is_up for is_up, _ in states] == [False]


async def test_database_that_is_not_there_is_unavailable(postgresql: str) -> None:
    url = postgresql.replace("/postgres?", "/nothing?")
    async with SqlStore(database_url(url, ""), clock=FixedClock()) as store:
        with pytest.raises(StoreUnavailable, match="nothing"):
            await store.migrate()


async def test_tables_that_are_not_there_are_unavailable(postgresql: str) -> None:
    async with (
        postgres.fresh_database(postgresql) as url,
        SqlStore(database_url(url, ""), clock=FixedClock()) as store,
    ):
        with pytest.raises((StoreUnavailable, ConfigError)):
            await store.hold(an_envelope(), b"x", HOLD)

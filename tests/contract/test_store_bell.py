"""Who follows the database is woken by what others write, and looks by itself where it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import pytest

from filterd.core.envelope import Channel
from filterd.core.overlay import ListEntry, ListKind
from filterd.model_ports import SharedPointer
from filterd.rule_ports import GivenRule, RuleOrigin
from filterd.store import bell as bells
from filterd.store.bell import Bell, Pause
from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock
from tests.contract.stores import envelope as an_envelope
from tests.contract.stores import label, nth, verdict
from tests.servers import postgres

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SOON_SECONDS = 10.0


@pytest.fixture
async def listening(postgresql: str) -> AsyncIterator[tuple[SqlStore, Bell, str]]:
    """A store with its tables, and a bell that hears it."""
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(postgres.fresh_database(postgresql))
        store = await stack.enter_async_context(SqlStore(database_url(url, ""), clock=FixedClock()))
        await store.migrate()
        bell = Bell(database_url(url, ""), timeout_seconds=5)
        task = asyncio.create_task(bell.listen())
        try:
            await rung(bell, 0)
            yield store, bell, url
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def rung(bell: Bell, after: int) -> None:
    """Until it has rung more than ``after`` times."""
    async with asyncio.timeout(SOON_SECONDS):
        while bell.rings <= after:
            await bell.wait()


@pytest.mark.real
async def test_bell_when_a_label_a_rule_or_a_pointer_is_written_then_rings(
    listening: tuple[SqlStore, Bell, str],
) -> None:
    """Whatever workers keep at hand wakes them, whichever process wrote it."""
    store, bell, _ = listening
    await store.record(verdict(an_envelope(1)))
    before = bell.rings
    await store.add_feedback(label(1))
    await rung(bell, before)

    before = bell.rings
    entry = ListEntry.of("ann@example.net", ListKind.DENY, "eve@example.org")
    await store.rules.add(GivenRule(rule=entry, by="ann", given_at=NOW, origin=RuleOrigin.API))
    await rung(bell, before)

    before = bell.rings
    assert await store.models.point(Channel.SMS, SharedPointer(number=1, id="a"), {}, "host")
    await rung(bell, before)


@pytest.mark.real
async def test_bell_when_only_verdicts_are_written_then_stays_silent(listening: tuple[SqlStore, Bell, str]) -> None:
    """Mail does not wake anybody: a notification takes a lock that all who notify wait for."""
    store, bell, _ = listening
    before = bell.rings

    await store.record(verdict(an_envelope(1)))
    await store.add_feedback(label(1))
    await rung(bell, before)

    assert bell.rings == before + 1
    assert nth(1)


@pytest.mark.real
async def test_bell_when_its_connection_is_cut_then_everybody_looks_and_it_listens_again(
    listening: tuple[SqlStore, Bell, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was said meanwhile is found by looking: it rings when it falls deaf and when it hears again."""
    monkeypatch.setattr(bells, "_CHECK_SECONDS", 0.05)
    store, bell, url = listening
    before = bell.rings

    await postgres.cut_connections(url)

    await rung(bell, before + 1)
    async with asyncio.timeout(SOON_SECONDS):
        while not bell.is_hearing:
            await bell.wait()
    before = bell.rings
    assert await store.models.point(Channel.SMS, SharedPointer(number=1, id="a"), {}, "host")
    await rung(bell, before)


@pytest.mark.real
async def test_bell_when_a_pooler_swallows_what_others_say_then_does_not_believe_that_it_hears(
    postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LISTEN that is answered proves nothing: workers go on looking twice a second."""
    driver = "asyncpg.connection.Connection"

    async def taken(*_: object) -> None:
        """As pgbouncer in transaction mode does: says yes, and nothing comes."""

    monkeypatch.setattr(f"{driver}.add_listener", taken)
    bell = Bell(database_url(postgresql, ""), timeout_seconds=0.5)

    await bell._listen_once()

    assert not bell.is_hearing
    assert bell.rings == 0


async def test_pause_when_it_rang_during_the_look_then_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading the tables and waiting nothing is missed."""
    monkeypatch.setattr(bells, "GAP_SECONDS", 0.0)
    bell = Bell(database_url("sqlite:///x.db", ""), timeout_seconds=5)
    bell.is_hearing = True
    pause = Pause(bell)
    bell.ring()

    async with asyncio.timeout(SOON_SECONDS):
        await pause()


async def test_pause_when_nothing_can_be_heard_then_lasts_half_a_second_at_most() -> None:
    """With SQLite, or while the database is away, workers look by themselves."""
    pause = Pause(Bell(database_url("sqlite:///x.db", ""), timeout_seconds=5))

    async with asyncio.timeout(SOON_SECONDS):
        await pause()

"""The keeper makes the tables when it can, and says once when the store goes and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry

from filterd import store_keeper
from filterd.core.envelope import MessageId
from filterd.errors import StoreUnavailable
from filterd.log import AddressMask, Events
from filterd.metrics import Metrics
from filterd.ports import HeldState
from filterd.store_keeper import StoreKeeper
from filterd.testing import FixedClock, MemoryStore


class Store(MemoryStore):
    """A store that can be away."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__(clock)
        self.is_away = False
        self.migrations = 0
        self.asked = asyncio.Event()

    async def migrate(self) -> None:
        await self.ping()
        self.migrations += 1

    async def ping(self) -> None:
        self.asked.set()
        if self.is_away:
            raise StoreUnavailable("away")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    output = io.StringIO()
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(output),
        wrapper_class=structlog.make_filtering_bound_logger(0),
    )
    yield output
    structlog.reset_defaults()


def _states(lines: io.StringIO) -> list[bool]:
    return [json.loads(line)["up"] for line in lines.getvalue().splitlines()]


async def test_keeper_when_the_store_comes_late_migrates_then_and_reports_both_changes(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_keeper, "PING_SECONDS", 0.001)
    clock = FixedClock()
    metrics = Metrics(CollectorRegistry())
    keeper = StoreKeeper(clock=clock, metrics=metrics, events=Events(structlog.get_logger(), AddressMask(b"key")))
    store = Store(clock)
    store.is_away = True
    await keeper.begin(store)
    assert not keeper.is_up

    watching = asyncio.create_task(keeper.watch(store))
    keeper.note(True, "")
    assert not keeper.is_up, "a write cannot have succeeded before the tables are there"
    for is_away in (False, True):
        store.is_away = is_away
        store.asked.clear()
        await asyncio.wait_for(store.asked.wait(), 10)
        await asyncio.sleep(0.01)
        assert keeper.is_up is not is_away
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching

    assert store.migrations == 1
    assert _states(lines) == [False, True, False]


async def test_keeper_when_the_disk_failed_to_write_asks_for_a_new_process(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Poisoned(StoreUnavailable):
        """Reads still work."""

    class Sick(Store):
        async def settle(self, id: MessageId, state: HeldState) -> None:
            self.asked.set()
            raise Poisoned("disk")

    monkeypatch.setattr(store_keeper, "PING_SECONDS", 0.001)
    clock = FixedClock()
    events = Events(structlog.get_logger(), AddressMask(b"key"))
    keeper = StoreKeeper(clock=clock, metrics=Metrics(CollectorRegistry()), events=events, fatal=Poisoned)
    store = Sick(clock)
    await keeper.begin(store)
    watching = asyncio.create_task(keeper.watch(store))
    store.asked.clear()
    await asyncio.wait_for(store.asked.wait(), 10)
    await asyncio.sleep(0.01)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching

    assert keeper.is_broken
    assert not keeper.is_up


async def test_keeper_when_all_is_well_says_nothing(lines: io.StringIO) -> None:
    clock = FixedClock()
    keeper = StoreKeeper(
        clock=clock,
        metrics=Metrics(CollectorRegistry()),
        events=Events(structlog.get_logger(), AddressMask(b"key")),
    )
    await keeper.begin(Store(clock))

    assert keeper.is_up
    assert _states(lines) == []

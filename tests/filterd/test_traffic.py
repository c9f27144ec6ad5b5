"""A week's traffic is counted once, then only what is new, and never for somebody else's reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from filterd.clock import mint_id
from filterd.core.access import EVERYBODY, Reach
from filterd.core.envelope import MessageId
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.errors import StoreUnavailable
from filterd.review_ports import HourCount
from filterd.testing import FixedClock, MemoryStore, an_envelope
from filterd.testing.review import MemoryReview
from filterd.traffic import TrafficBooks

BOB = Reach(addresses=frozenset({"bob@example.net"}))


class Counted(MemoryReview):
    """Says what it was asked for."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store._verdicts, store._held, store.ledger, store._check, MessageId)
        self.asked: list[tuple[Reach, datetime, datetime]] = []

    async def traffic(self, reach: Reach, since: datetime, until: datetime) -> Sequence[HourCount]:
        self.asked.append((reach, since, until))
        return await super().traffic(reach, since, until)


class World:
    """A store, and the books."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.store = MemoryStore(self.clock)
        self.review = Counted(self.store)
        self.books = TrafficBooks(self.review, self.clock)

    async def judge(self, recipient: str = "bob@example.net", ago: timedelta = timedelta()) -> None:
        envelope = an_envelope("a@b.example", recipient, id=mint_id(self.clock))
        decision = Decision(action=Action.ACCEPT, reason=Reason.HAM)
        outcome = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))
        dated = replace(envelope, received_at=self.clock.now() - ago)
        await self.store.record(Verdict.of(dated, 1, decision, outcome, {}))

    async def total(self, reach: Reach = EVERYBODY) -> int:
        return sum(count.count for count in await self.books.week(reach))


async def test_week_is_counted_in_days_and_then_only_the_latest_hours() -> None:
    world = World()
    for hours in (0, 1, 26, 100, 167, 169):
        await world.judge(ago=timedelta(hours=hours))
    assert await world.total() == 5
    assert len(world.review.asked) == 7
    world.review.asked.clear()

    world.clock.advance(60)
    await world.judge()

    assert await world.total() == 6
    ((_, since, _),) = world.review.asked
    assert world.clock.now() - since < timedelta(hours=3)


async def test_counts_are_kept_for_a_minute() -> None:
    world = World()
    await world.judge()
    assert await world.total() == 1
    await world.judge()

    world.clock.advance(59)
    assert await world.total() == 1
    world.clock.advance(1)
    assert await world.total() == 2


async def test_late_verdict_of_an_open_hour_is_counted_after_a_long_pause() -> None:
    world = World()
    await world.judge()
    assert await world.total() == 1
    await world.judge(ago=timedelta(minutes=100))

    world.clock.advance(3 * 86_400)

    assert await world.total() == 2


async def test_nobody_is_given_what_was_counted_for_somebody_else() -> None:
    world = World()
    await world.judge()
    await world.judge("eve@example.org")

    assert await world.total() == 2
    assert await world.total(BOB) == 1
    assert await world.total(Reach()) == 0


async def test_hours_older_than_a_week_are_forgotten() -> None:
    world = World()
    await world.judge()
    assert await world.total() == 1

    world.clock.advance(7 * 86_400 + 3_600)

    assert await world.total() == 0


async def test_database_that_was_away_is_asked_again() -> None:
    world = World()
    await world.judge()
    world.store.failure = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await world.total()
    world.store.failure = None

    assert await world.total() == 1


async def test_few_reaches_are_remembered() -> None:
    world = World()
    for n in range(200):
        await world.books.week(Reach(addresses=frozenset({f"u{n}@example.org"})))

    assert len(world.books._known) == 64

"""One worker works out the estimates from what the store counts, each hour once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from filterd.core.envelope import Channel, MessageId
from filterd.core.verdict import (
    Action,
    Decision,
    Feedback,
    Label,
    Outcome,
    OutcomeKind,
    Reason,
    Reply,
    Script,
    Verdict,
)
from filterd.metrics import Metrics
from filterd.quality import QualityEstimates
from filterd.quality_keeper import QualityKeeper
from filterd.quality_ports import Tally
from filterd.testing import FixedClock, MemoryStore, a_scan, an_envelope
from filterd.testing.quality import MemoryQuality

MODEL = "email-20251201T000000-0123abcd"
DAY = 86_400


class Counted(MemoryQuality):
    """Says which hours it was asked for."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store._verdicts, store.ledger, store._check)
        self.asked: list[datetime] = []

    async def tally(self, since: datetime, until: datetime, *, most: int) -> Sequence[Tally]:
        self.asked.append(since)
        return await super().tally(since, until, most=most)


class World:
    """A store, and the series that are worked out from it."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.store = MemoryStore(self.clock)
        self.books = Counted(self.store)
        self.registry = CollectorRegistry()
        self.estimates = QualityEstimates(self.books, models=lambda: {Channel.EMAIL: MODEL}, clock=self.clock)
        self.keeper = QualityKeeper(self.estimates, metrics=Metrics(self.registry))
        self._next = 0

    async def judge(
        self, count: int, probability: float, *, is_audit: bool = False, script: Script = Script.LATIN
    ) -> list[MessageId]:
        """Messages of now, held from probability 0.5 on."""
        ids = []
        for _ in range(count):
            self._next += 1
            action = Action.QUARANTINE if probability >= 0.5 else Action.ACCEPT
            scan = replace(a_scan(probability), model=MODEL, script=script)
            decision = Decision(action=action, reason=Reason.SPAM, scan=scan)
            envelope = replace(an_envelope(id=f"{self._next:032x}"), received_at=self.clock.now())
            verdict = Verdict.of(envelope, 1, decision, Outcome(kind=OutcomeKind.HELD, reply=Reply(code=250)), {})
            await self.store.record(replace(verdict, is_audit=is_audit))
            ids.append(envelope.id)
        return ids

    async def label(self, ids: Sequence[MessageId], label: Label) -> None:
        for id in ids:
            given = Feedback(message_id=id, label=label, reporter="ann", given_at=self.clock.now())
            await self.store.add_feedback(given)

    def shown(self, name: str, **labels: str) -> float:
        found = self.registry.get_sample_value(f"filterd_{name}", {"channel": "email", **labels})
        assert found is not None
        return found


async def test_rates_come_from_the_audit_with_bounds_and_waiting_messages_show() -> None:
    world = World()
    await world.judge(90, 0.9)
    await world.judge(890, 0.1)
    held = await world.judge(10, 0.9, is_audit=True)
    accepted = await world.judge(12, 0.1, is_audit=True)
    await world.label(held[:2], Label.HAM)
    await world.label(held[2:], Label.SPAM)
    await world.label(accepted[:1], Label.SPAM)
    await world.label(accepted[1:10], Label.HAM)
    world.clock.advance(60)

    await world.keeper.refresh()

    assert world.shown("ham_loss_ratio", bound="estimate") == pytest.approx(20 / (20 + 902 * 0.9))
    assert world.shown("spam_catch_ratio", bound="estimate") == pytest.approx(80 / (80 + 90.2))
    for name in ("ham_loss_ratio", "spam_catch_ratio"):
        low, middle, high = (world.shown(name, bound=bound) for bound in ("low", "estimate", "high"))
        assert low < middle < high
    assert world.shown("audit_messages", state="waiting") == 2
    assert world.shown("audit_messages", state="ham") == 11
    assert world.shown("calibration_error_ratio") == pytest.approx(0.05, abs=0.06)
    assert world.shown("label_age_seconds") == 60
    assert world.shown("model_age_seconds") == 31 * DAY + 60
    assert world.registry.get_sample_value("filterd_quality_timestamp_seconds") == world.clock.now().timestamp()


async def test_without_anything_estimates_are_unknown() -> None:
    world = World()

    await world.keeper.refresh()

    assert math.isnan(world.shown("ham_loss_ratio", bound="estimate"))
    assert world.shown("ham_loss_ratio", bound="high") == 1.0
    assert math.isnan(world.shown("calibration_error_ratio"))
    assert math.isnan(world.shown("label_age_seconds"))
    assert math.isnan(world.shown("drift_psi", of="scores"))


async def test_last_day_is_held_against_the_model_s_first_week() -> None:
    world = World()
    for _ in range(7):
        await world.judge(40, 0.03)
        await world.judge(10, 0.97)
        world.clock.advance(DAY)
    world.clock.advance(2 * DAY)
    await world.judge(150, 0.6)
    await world.judge(100, 0.03, script=Script.CYRILLIC)
    world.clock.advance(60)

    for _ in range(20):
        await world.keeper.refresh()

    assert world.shown("drift_psi", of="scores") > 0.25
    assert world.shown("drift_psi", of="scripts") > 0.25
    assert world.shown("drift_psi", of="share") < 0.01


async def test_hour_that_is_over_is_counted_once() -> None:
    world = World()
    await world.judge(5, 0.1)
    for _ in range(10):
        await world.keeper.refresh()
    world.books.asked.clear()

    await world.keeper.refresh()

    assert len(world.books.asked) <= 3
    assert min(world.books.asked) >= world.clock.now() - timedelta(hours=2)


async def test_report_is_of_this_minute_and_says_how_many_hours_are_missing() -> None:
    world = World()
    await world.judge(3, 0.1)
    first = await world.estimates.latest()
    asked = len(world.books.asked)

    assert await world.estimates.latest() is first
    assert len(world.books.asked) == asked
    assert first.hours_missing > 0

    world.clock.advance(60)
    assert (await world.estimates.latest()).at == world.clock.now()


async def test_whoever_asks_has_the_missing_hours_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("filterd.quality._CATCH_UP_SECONDS", 0.0)
    world = World()
    counting = asyncio.create_task(world.estimates.catch_up())
    await asyncio.sleep(0)
    assert not world.books.asked

    for _ in range(50):
        report = await world.estimates.latest()
        await asyncio.sleep(0)

    assert report.hours_missing == 0
    assert len(set(world.books.asked)) > 160
    counting.cancel()

"""One worker's memory follows the ledger: new labels, revoked ones, old ones, and a database that goes away."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from prometheus_client import CollectorRegistry

from filterd.core.envelope import Channel, MessageId
from filterd.core.influence import Caps
from filterd.core.verdict import Action, Decision, Feedback, Label, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.errors import StoreUnavailable
from filterd.feedback_ports import Labels
from filterd.fuzzy.campaigns import credits_of
from filterd.fuzzy.memory import RETIRE_AFTER, ReportedMemory
from filterd.metrics import Metrics
from filterd.report_keeper import OVERLAP_SECONDS, WHOLE_SECONDS, ReportKeeper
from filterd.testing import FixedClock, MemoryStore, a_scan, an_envelope

TEXT = "0" * 64


class World:
    """A ledger with one message in it, and a memory that follows."""

    def __init__(self, *, days: int = 45) -> None:
        self.clock = FixedClock()
        self.store = MemoryStore(self.clock)
        self.memory = ReportedMemory()
        self.registry = CollectorRegistry()
        self.keeper = ReportKeeper(
            self.memory,
            self.store,
            weigh=partial(credits_of, caps=Caps()),
            clock=self.clock,
            metrics=Metrics(self.registry),
            days=days,
            most=1000,
        )

    async def report(self, n: int = 1, label: Label = Label.SPAM) -> MessageId:
        envelope = an_envelope(id=f"{n:032x}")
        scan = replace(a_scan(0.01), fingerprint=TEXT)
        decision = Decision(action=Action.ACCEPT, reason=Reason.HAM, scan=scan)
        outcome = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))
        await self.store.record(Verdict.of(envelope, 1, decision, outcome, {}))
        await self.store.add_feedback(
            Feedback(message_id=envelope.id, label=label, reporter="ann", given_at=self.clock.now())
        )
        return envelope.id

    def found(self) -> list[Label]:
        return [report.label for report in self.memory.find(Channel.EMAIL, TEXT)]

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(name)


async def test_label_acts_after_the_next_look_and_ends_when_it_is_revoked() -> None:
    world = World()
    await world.keeper.refresh()
    world.clock.advance(60)
    id = await world.report()
    world.clock.advance(1)

    await world.keeper.refresh()

    assert world.found() == [Label.SPAM]
    assert world.metric("filterd_reports_remembered") == 1
    assert world.metric("filterd_report_to_effect_seconds_sum") == 1

    await world.store.revoke(Labels(message=id), "root")
    world.clock.advance(1)
    await world.keeper.refresh()

    assert world.found() == []
    assert world.metric("filterd_report_to_effect_seconds_count") == 2


async def test_label_that_is_seen_late_because_a_clock_is_behind_acts_all_the_same() -> None:
    world = World()
    await world.keeper.refresh()
    world.clock.advance(60)
    await world.report(1)
    await world.keeper.refresh()

    world.clock.advance(-OVERLAP_SECONDS + 1)
    await world.report(2)
    world.clock.advance(OVERLAP_SECONDS)
    await world.keeper.refresh()

    assert len(world.found()) == 2


async def test_what_a_look_missed_is_put_right_when_all_is_read_again() -> None:
    world = World()
    await world.report()
    await world.keeper.refresh()
    await world.store.erase("alice@example.org", "root")
    await world.keeper.refresh()
    assert world.found() == [Label.SPAM]

    world.clock.advance(WHOLE_SECONDS + 1)
    await world.keeper.refresh()

    assert world.found() == []


async def test_label_is_forgotten_after_its_days() -> None:
    world = World(days=45)
    await world.report()
    await world.keeper.refresh()
    world.clock.advance(timedelta(days=46).total_seconds())

    await world.keeper.refresh()

    assert world.found() == []


async def test_memory_stays_as_it_was_while_the_database_is_away() -> None:
    world = World()
    await world.report()
    await world.keeper.refresh()
    world.store.failure = StoreUnavailable("gone")

    with pytest.raises(StoreUnavailable):
        await world.keeper.refresh()

    assert world.found() == [Label.SPAM]


async def test_label_the_model_no_longer_needs_is_retired_for_every_worker() -> None:
    world = World()
    await world.report()
    await world.keeper.refresh()
    for _ in range(RETIRE_AFTER):
        world.memory.note_agreement(world.memory.find(Channel.EMAIL, TEXT), Label.SPAM, "a-newer-model")

    await world.keeper.refresh()

    assert world.found() == []
    assert await world.store.report_changes(None, most=10) == ()

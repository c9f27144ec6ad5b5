"""What was promoted is swapped in; what does much worse with people is taken back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import pytest
import structlog
from prometheus_client import CollectorRegistry

from filterd.core.alarm import Record
from filterd.core.envelope import Channel
from filterd.errors import BundleError
from filterd.log import AddressMask, Events
from filterd.metrics import Metrics
from filterd.model_keeper import ModelKeeper
from filterd.model_ports import Trial
from filterd.testing import FixedClock

GOOD = Record(held=200, wrongly_held=0, passed=800, missed=2)
BAD = Record(held=300, wrongly_held=20, passed=700, missed=2)


@dataclass(slots=True)
class World:
    """Pointers, track records and a daemon that reloads."""

    pointers: list[str] = field(default_factory=lambda: ["m2", "m1"])
    on_trial: Trial | None = None
    records: dict[str, Record] = field(default_factory=dict)
    notes: list[tuple[str, str, str]] = field(default_factory=list)
    reloads: int = 0
    failure: Exception | None = None
    unreadable: str = ""
    log: structlog.testing.LogCapture = field(default_factory=structlog.testing.LogCapture)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def keeper(self) -> ModelKeeper:
        return ModelKeeper(
            lambda: self,
            self.reload,
            self,
            serving=lambda: {Channel.EMAIL: self.pointers[0]},
            clock=FixedClock(),
            metrics=Metrics(self.registry),
            events=Events(structlog.wrap_logger(None, processors=[self.log]), AddressMask(b"key")),
            is_rolling_back=lambda: True,
        )

    async def reload(self) -> None:
        self.reloads += 1
        if self.failure is not None:
            raise self.failure

    def current(self, channel: Channel) -> str | None:
        if self.unreadable:
            raise BundleError(self.unreadable)
        return self.pointers[0] if channel is Channel.EMAIL else None

    def previous(self, channel: Channel) -> str | None:
        return self.pointers[1] if channel is Channel.EMAIL else None

    def promote(self, channel: Channel, id: str) -> None:
        assert channel is Channel.EMAIL
        self.pointers = [id, *(other for other in self.pointers if other != id)]

    def trial(self, channel: Channel) -> Trial | None:
        return self.on_trial if channel is Channel.EMAIL else None

    def end_trial(self, channel: Channel) -> Trial | None:
        assert channel is Channel.EMAIL
        ended, self.on_trial = self.on_trial, None
        return ended

    async def fared(self, channel: Channel, since: datetime) -> Mapping[str, Record]:
        assert since < FixedClock().now()
        return self.records if channel is Channel.EMAIL else {}

    async def note(self, event: str, target: str, by: str, note: str = "") -> None:
        del note
        self.notes.append((event, target, by))


async def test_promoted_bundle_is_swapped_in_once() -> None:
    world = World()
    keeper = world.keeper()
    await keeper.look()
    await keeper.look()
    assert world.reloads == 0

    world.promote(Channel.EMAIL, "m3")
    await keeper.look()
    await keeper.look()

    assert world.reloads == 1


async def test_refused_bundle_is_not_tried_again_until_the_pointer_changes() -> None:
    world = World(failure=BundleError("wrong hash"))
    keeper = world.keeper()
    await keeper.look()
    world.promote(Channel.EMAIL, "m3")
    for _ in range(3):
        await keeper.look()
    assert world.reloads == 1

    world.promote(Channel.EMAIL, "m2")
    await keeper.look()

    assert world.reloads == 2


async def test_unreadable_registry_is_told_of_when_it_begins_and_when_it_is_over() -> None:
    world = World(unreadable="torn")
    keeper = world.keeper()
    for _ in range(3):
        await keeper.look()
    world.unreadable = ""
    for _ in range(3):
        await keeper.look()

    assert [(line["event"], line["part"], line["error"]) for line in world.log.entries] == [
        ("registry.state", "pointers", "torn"),
        ("registry.state", "pointers", ""),
    ]


@pytest.mark.parametrize(("records", "left"), [({"m1": GOOD, "m2": BAD}, "m1"), ({"m1": GOOD, "m2": GOOD}, "m2")])
async def test_promoted_bundle_that_does_much_worse_is_rolled_back(records: dict[str, Record], left: str) -> None:
    world = World(records=records)

    why = await world.keeper().check(Channel.EMAIL)

    assert world.pointers[0] == left
    assert bool(why) is (left == "m1")
    assert world.notes == ([("rolled back", "m2", "filterd")] if why else [])
    assert world.registry.get_sample_value("filterd_model_rollbacks_total", {"channel": "email"}) == bool(why)


async def test_better_bundle_is_not_rolled_back_to_one_that_was_worse() -> None:
    world = World(records={"m1": BAD, "m2": GOOD})

    assert await world.keeper().check(Channel.EMAIL) == ""
    assert world.pointers == ["m2", "m1"]


async def test_canary_that_does_much_worse_is_ended_and_a_shadow_never_decides() -> None:
    world = World(on_trial=Trial(id="m3", share=0.1, decides=True), records={"m2": GOOD, "m3": BAD, "m1": GOOD})

    keeper = world.keeper()

    assert await keeper.check(Channel.EMAIL)
    assert world.on_trial is None
    assert world.pointers == ["m2", "m1"]

    world.on_trial = Trial(id="m3", share=0.1)
    assert await keeper.check(Channel.EMAIL) == ""
    assert world.on_trial is not None


async def test_one_bundle_alone_is_compared_with_nothing() -> None:
    world = World(records={"m2": BAD})

    keeper = world.keeper()

    assert await keeper.check(Channel.EMAIL) == ""
    assert await keeper.check(Channel.SMS) == ""

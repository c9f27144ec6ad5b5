"""A candidate on live messages: compared, or deciding for a share; never in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from filterd.core.envelope import Channel, Envelope
from filterd.core.verdict import Scan
from filterd.errors import BundleError, ScanDown, Unscannable
from filterd.log import AddressMask, Events
from filterd.metrics import Metrics
from filterd.model_ports import Disagreement, Trial
from filterd.ports import Scanner
from filterd.testing import FakeScanner, FixedClock, a_scan, an_envelope
from filterd.trial import TrialScanner, is_in_share


class Candidate:
    """Says what it is told to."""

    def __init__(self, probability: float = 0.99) -> None:
        self.probability = probability
        self.failure: Exception | None = None
        self.count = 0

    async def scan(self, envelope: Envelope, raw: bytes) -> Scan:
        del envelope, raw
        self.count += 1
        if self.failure is not None:
            raise self.failure
        return replace(a_scan(self.probability), model="candidate")


class World:
    """An incumbent, and what is on trial beside it."""

    def __init__(self, **trial: Any) -> None:
        self.trials: dict[Channel, Trial] = {Channel.EMAIL: Trial(id="candidate", share=1.0, **trial)}
        self.candidate, self.incumbent = Candidate(), FakeScanner()
        self.recorded: list[Disagreement] = []
        self.opened: list[Mapping[Channel, str]] = []
        self.closed = 0
        self.registry = CollectorRegistry()
        self.log = structlog.testing.LogCapture()
        self.scanner = TrialScanner(
            self.incumbent,
            trials=self.read,
            open_candidates=self.open,
            store=self,
            clock=FixedClock(),
            metrics=Metrics(self.registry),
            events=Events(structlog.wrap_logger(None, processors=[self.log]), AddressMask(b"key")),
        )

    def read(self) -> Mapping[Channel, Trial]:
        return self.trials

    @asynccontextmanager
    async def open(self, ids: Mapping[Channel, str]) -> AsyncIterator[Scanner]:
        self.opened.append(ids)
        yield self.candidate
        self.closed += 1

    async def record_disagreement(self, found: Disagreement) -> None:
        self.recorded.append(found)

    async def disagreements(self, channel: Channel, candidate: str, *, limit: int = 50) -> list[Disagreement]:
        raise NotImplementedError

    def count(self, result: str) -> float | None:
        return self.registry.get_sample_value("filterd_trials_total", {"channel": "email", "result": result})


async def settled(world: World) -> None:
    await asyncio.gather(*world.scanner._comparing)


async def test_shadow_is_compared_and_does_not_decide() -> None:
    world = World()
    await world.scanner.look()

    scan = await world.scanner.scan(an_envelope(), b"ham")
    await settled(world)

    assert scan.model == "test-model"
    assert world.count("candidate_spam") == 1
    (found,) = world.recorded
    assert (found.candidate, found.candidate_probability, found.incumbent_probability) == ("candidate", 0.99, 0.01)

    await world.scanner.scan(an_envelope(), b"SPAM")
    await settled(world)
    assert world.count("both_spam") == 1
    assert len(world.recorded) == 1
    await world.scanner.close()


async def test_message_that_nobody_sent_is_not_compared() -> None:
    world = World()
    await world.scanner.look()

    await world.scanner.scan(an_envelope(id=""), b"ham")
    await settled(world)

    assert world.candidate.count == 0
    assert world.recorded == []
    await world.scanner.close()


async def test_canary_decides_for_its_share_and_the_incumbent_for_the_others() -> None:
    world = World(decides=True)
    world.trials = {Channel.EMAIL: Trial(id="candidate", share=0.3, decides=True)}
    await world.scanner.look()
    envelopes = [an_envelope("a@b.example", f"u{n}@example.net") for n in range(400)]
    models = [(await world.scanner.scan(envelope, b"ham")).model for envelope in envelopes]

    share = models.count("candidate") / len(models)

    assert 0.2 < share < 0.4
    again = await world.scanner.scan(an_envelope("a@b.example", "U7@Example.net"), b"ham")
    assert again.model == models[7]
    await world.scanner.close()


@pytest.mark.parametrize("decides", [True, False])
@pytest.mark.parametrize("failure", [ScanDown("gone"), Unscannable("limit")])
async def test_candidate_that_fails_is_not_in_the_way(*, decides: bool, failure: Exception) -> None:
    world = World(decides=decides)
    await world.scanner.look()
    world.candidate.failure = failure

    scan = await world.scanner.scan(an_envelope(), b"ham")
    await settled(world)

    assert scan.model == "test-model"
    assert world.count("failed") == 1
    await world.scanner.close()


async def test_trial_begins_changes_and_ends_as_the_registry_says() -> None:
    world = World()
    await world.scanner.look()
    await world.scanner.look()
    assert world.opened == [{Channel.EMAIL: "candidate"}]

    world.trials = {Channel.EMAIL: Trial(id="candidate", share=0.5)}
    await world.scanner.look()
    assert len(world.opened) == 1
    world.trials = {Channel.EMAIL: Trial(id="another", share=0.5)}
    await world.scanner.look()
    assert (len(world.opened), world.closed) == (2, 1)
    world.trials = {}
    await world.scanner.look()

    assert world.closed == 2
    await world.scanner.scan(an_envelope(), b"ham")
    assert world.candidate.count == 0


async def test_registry_that_cannot_be_read_ends_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    await world.scanner.look()

    def unreadable() -> Mapping[Channel, Trial]:
        raise BundleError("torn")

    monkeypatch.setattr(world.scanner, "_trials", unreadable)
    await world.scanner.look()

    assert world.closed == 1
    assert (await world.scanner.scan(an_envelope(), b"ham")).model == "test-model"


async def test_unreadable_trial_is_told_of_when_it_begins_and_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    def unreadable() -> Mapping[Channel, Trial]:
        raise BundleError("torn")

    with monkeypatch.context() as torn:
        torn.setattr(world.scanner, "_trials", unreadable)
        for _ in range(3):
            await world.scanner.look()
    for _ in range(3):
        await world.scanner.look()

    assert [(line["event"], line["part"], line["error"]) for line in world.log.entries] == [
        ("registry.state", "trials", "torn"),
        ("registry.state", "trials", ""),
    ]
    await world.scanner.close()


async def test_messages_beyond_what_the_candidate_can_take_are_not_compared() -> None:
    world = World()
    await world.scanner.look()
    gate = asyncio.Event()

    async def slow(envelope: Envelope, raw: bytes) -> Scan:
        del envelope, raw
        await gate.wait()
        return a_scan(0.01)

    world.candidate.scan = slow  # type: ignore[method-assign]
    for _ in range(12):
        await world.scanner.scan(an_envelope(), b"ham")
    assert world.count("skipped") == 4
    gate.set()
    await settled(world)

    assert world.count("both_ham") == 8
    await world.scanner.close()


def test_share_of_nobody_and_of_everybody() -> None:
    assert not is_in_share(an_envelope("a@b.example", "u@example.net"), 0.0)
    assert is_in_share(an_envelope("a@b.example", "u@example.net"), 1.0)

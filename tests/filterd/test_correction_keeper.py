"""One worker's online weights follow the ledger: new labels, revoked ones, and another model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from prometheus_client import CollectorRegistry

from filterd.core.envelope import Channel, MessageId
from filterd.core.influence import Caps
from filterd.core.message import ParseLimits
from filterd.core.token_codec import pack
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from filterd.core.verdict import Action, Decision, Feedback, Label, Outcome, OutcomeKind, Reason, Reply, Scan, Verdict
from filterd.correction_keeper import CorrectionKeeper
from filterd.feedback_ports import Labels
from filterd.fuzzy.campaigns import credits_of
from filterd.fuzzy.memory import ReportedMemory
from filterd.inference.online import SiteWeights
from filterd.metrics import Metrics
from filterd.report_keeper import WHOLE_SECONDS, ReportKeeper
from filterd.testing import FixedClock, MemoryStore, a_scan, an_envelope

HASHING = DEFAULT_HASHING[Channel.EMAIL]
READ = Extractor(Channel.EMAIL, HASHING, ParseLimits())


def scan_of(text: str, model: str = "m1") -> Scan:
    tokens = pack(READ(f"Subject: offer\r\n\r\n{text}\r\n".encode()).tokens, HASHING)
    fingerprint = f"{sum(text.encode()):064x}"
    return replace(a_scan(0.1), logit=-2.0, model=model, tokens=tokens, fingerprint=fingerprint)


class World:
    """A ledger, the memory and the weights that follow it."""

    def __init__(self) -> None:
        self.clock, self.store = FixedClock(), MemoryStore()
        self.models: Mapping[Channel, str] = {Channel.EMAIL: "m1"}
        self.site = SiteWeights()
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry)
        follower = CorrectionKeeper(
            self.site, self.store, fresh=SiteWeights, models=lambda: self.models, metrics=metrics
        )
        self.keeper = ReportKeeper(
            ReportedMemory(),
            self.store,
            weigh=partial(credits_of, caps=Caps()),
            followers=[follower],
            clock=self.clock,
            metrics=metrics,
            days=45,
            most=1000,
        )

    async def report(self, n: int, text: str, model: str = "m1") -> MessageId:
        envelope = an_envelope(id=f"{n:032x}")
        decision = Decision(action=Action.ACCEPT, reason=Reason.HAM, scan=scan_of(text, model))
        outcome = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))
        await self.store.record(Verdict.of(envelope, 1, decision, outcome, {}))
        self.clock.advance(1)
        await self.store.add_feedback(
            Feedback(message_id=envelope.id, label=Label.SPAM, reporter=f"r{n}", given_at=self.clock.now())
        )
        return envelope.id

    async def deliver(self) -> None:
        """Messages that nobody says anything about."""
        for n in range(100, 110):
            decision = Decision(action=Action.ACCEPT, reason=Reason.HAM, scan=scan_of(f"see you at {n} tomorrow"))
            outcome = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))
            await self.store.record(Verdict.of(an_envelope(id=f"{n:032x}"), 1, decision, outcome, {}))

    def moved(self, text: str, model: str = "m1") -> float:
        return self.site.correct(Channel.EMAIL, scan_of(text, model), "bob@example.net").correction


OFFER = "claim the prize of a new phone on our page today"


async def test_label_moves_the_weights_at_the_next_look_and_its_revocation_moves_them_back() -> None:
    world = World()
    await world.keeper.refresh()
    id = await world.report(1, OFFER)

    await world.keeper.refresh()

    assert world.moved(OFFER) > 1
    assert world.registry.get_sample_value("filterd_reports_learned", {"channel": "email"}) == 1

    await world.deliver()
    await world.report(2, "a loan without questions asked, answer now")
    await world.keeper.refresh()
    world.clock.advance(1)
    await world.store.revoke(Labels(message=id), "root")
    await world.keeper.refresh()

    assert abs(world.moved(OFFER)) < 0.5
    assert list(world.site.learned(Channel.EMAIL, "m1")) == [2]


async def test_labels_on_what_another_model_judged_are_not_learned() -> None:
    world = World()
    await world.keeper.refresh()
    await world.report(1, OFFER, model="m0")
    await world.keeper.refresh()
    assert world.moved(OFFER) == 0

    await world.report(2, OFFER)
    await world.keeper.refresh()
    assert world.moved(OFFER) > 1
    world.models = {Channel.EMAIL: "m2"}
    world.clock.advance(WHOLE_SECONDS + 1)
    await world.keeper.refresh()

    assert world.moved(OFFER, "m2") == 0


async def test_many_labels_at_once_are_the_same_as_one_after_the_other() -> None:
    slow, fast = World(), World()
    for world in (slow, fast):
        await world.keeper.refresh()
    for n in range(1, 31):
        await slow.report(n, f"{OFFER} number {n} word{n}")
        await slow.keeper.refresh()
        await fast.report(n, f"{OFFER} number {n} word{n}")
    await fast.keeper.refresh()

    assert list(fast.site.learned(Channel.EMAIL, "m1")) == list(range(1, 31))
    assert fast.moved(OFFER) == slow.moved(OFFER)

"""The line: what is relayed, held, refused and deferred, and in which order things become durable."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from filterd.core.envelope import Channel, Envelope, MessageId
from filterd.core.headers import Stamp, release_header
from filterd.core.policy import Policy, Rule, Scope
from filterd.core.reported import Report
from filterd.core.verdict import Action, Decision, Label, OutcomeKind, Reason, Reply, Verdict
from filterd.errors import (
    Overloaded,
    RelayAmbiguous,
    RelayUnavailable,
    ScanDown,
    StoreFull,
    StoreUnavailable,
    Unscannable,
)
from filterd.feedback_ports import ReportChange
from filterd.fuzzy.memory import RETIRE_AFTER, ReportedMemory
from filterd.inference.online import SiteWeights
from filterd.log import AddressMask, Events, get_logger
from filterd.metrics import Metrics
from filterd.pipeline import Pipeline, Settings
from filterd.ports import HeldState
from filterd.testing import FakeScanner, FixedClock, MemoryStore, RecordingRelay, an_envelope

HAM = b"Subject: lunch\r\n\r\nAt noon?\r\n"
SPAM = b"Subject: win\r\n\r\nSPAM\r\n"


class World:
    """A pipeline with fakes around it."""

    def __init__(self, *, policy: Policy | None = None, **settings: Any) -> None:
        self.scanner = FakeScanner()
        self.clock = FixedClock()
        self.store = MemoryStore(self.clock)
        self.relay = RecordingRelay()
        self.registry = CollectorRegistry()
        self.memory = ReportedMemory()
        policy = policy or Policy()
        self.pipeline = Pipeline(
            scanner=self.scanner,
            store=self.store,
            clock=self.clock,
            metrics=Metrics(self.registry),
            events=Events(get_logger(), AddressMask(b"key")),
            memory=self.memory,
            correction=SiteWeights(),
            settings=Settings(
                policies=MappingProxyType(dict.fromkeys(Channel, policy)),
                stamp=Stamp(hostname="filter.example", release_key=b"release"),
                **settings,
            ),
        )

    async def process(self, raw: bytes, envelope: Envelope | None = None) -> tuple[Reply, list[OutcomeKind]]:
        processed = await self.pipeline.process(envelope or an_envelope(), raw, self.relay)
        return processed.reply, [v.outcome.kind for v in processed.verdicts]

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


async def test_ham_is_relayed_with_the_next_hops_own_reply() -> None:
    world = World()
    world.relay.reply = Reply(code=250, enhanced="2.0.0", lines=("Ok: queued as 4F7",))

    reply, kinds = await world.process(HAM)

    assert reply.render() == "250 2.0.0 Ok: queued as 4F7"
    assert kinds == [OutcomeKind.RELAYED]
    assert world.relay.sent[0][1].endswith(HAM)
    assert (await world.store.verdicts(an_envelope().id))[0].action is Action.ACCEPT
    assert world.metric("filterd_messages_total", channel="email", action="accept", reason="ham") == 1


async def test_spam_is_held_and_not_relayed() -> None:
    world = World()

    reply, kinds = await world.process(SPAM)

    assert (reply.code, kinds) == (250, [OutcomeKind.HELD])
    assert not world.relay.sent
    held = await world.store.held(an_envelope().id)
    assert (held.raw, held.summary.state) == (SPAM, HeldState.HELD)


async def test_b13_spam_when_the_policy_rejects_is_refused_without_a_trace_of_why() -> None:
    world = World(policy=Policy(default=Scope(rule=Rule(reject_at=0.9))))

    reply, kinds = await world.process(SPAM)

    assert (reply.render(), kinds) == ("550 5.7.1 Message refused by content policy", [OutcomeKind.REFUSED])


async def test_hold_when_the_store_is_down_defers_and_relays_nothing() -> None:
    world = World()
    world.store.failure = StoreUnavailable("secret dsn")

    reply, kinds = await world.process(SPAM)

    assert (reply.code, kinds) == (451, [OutcomeKind.DEFERRED])
    assert "secret" not in reply.render()
    assert not world.relay.sent


async def test_hold_when_the_store_is_down_and_the_operator_prefers_delivery_tags_and_delivers() -> None:
    world = World(is_tagging_when_store_down=True)
    world.store.failure = StoreUnavailable()

    reply, _ = await world.process(SPAM)

    assert reply.code == 250
    assert b"X-Spam-Flag: YES" in world.relay.sent[0][1]


async def test_held_message_s_verdict_is_whole_though_nothing_is_written_after_the_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def record(*_: Verdict) -> None:
        raise StoreUnavailable

    world = World(policy_version="0123456789ab", audit_ratio=1.0)
    monkeypatch.setattr(world.store, "record", record)

    await world.process(SPAM)

    (row,) = await world.store.verdicts(an_envelope().id)
    assert (row.policy, row.is_audit) == ("0123456789ab", True)


async def test_hold_when_the_disk_is_full_says_so() -> None:
    world = World(is_tagging_when_store_down=True)
    world.store.failure = StoreFull()

    reply, _ = await world.process(SPAM)

    assert (reply.code, reply.enhanced) == (452, "4.3.1")


@pytest.mark.invariant("I8")
async def test_ham_when_the_store_is_down_still_flows() -> None:
    world = World()
    world.store.failure = StoreUnavailable()

    reply, kinds = await world.process(HAM)

    assert (reply.code, kinds) == (250, [OutcomeKind.RELAYED])
    assert world.metric("filterd_record_failures_total") == 1


@pytest.mark.parametrize(
    ("failure", "code", "is_ambiguous"),
    [(RelayUnavailable("refused"), 451, 0), (RelayAmbiguous("silent after dot"), 451, 1)],
)
async def test_relay_when_the_next_hop_fails_defers(failure: Exception, code: int, is_ambiguous: int) -> None:
    world = World()
    world.relay.reply = failure

    reply, kinds = await world.process(HAM)

    assert (reply.code, kinds) == (code, [OutcomeKind.DEFERRED])
    assert world.metric("filterd_ambiguous_total") == is_ambiguous


@pytest.mark.parametrize(("code", "kind"), [(452, OutcomeKind.DEFERRED), (554, OutcomeKind.REFUSED)])
async def test_relay_when_the_next_hop_refuses_passes_its_code_through(code: int, kind: OutcomeKind) -> None:
    world = World()
    world.relay.reply = Reply(code=code, lines=("its words",))

    reply, kinds = await world.process(HAM)

    assert (reply.code, reply.lines, kinds) == (code, ("its words",), [kind])


async def test_unscannable_is_held_and_never_called_ham() -> None:
    world = World()
    world.scanner.failure = Unscannable("too deep")

    reply, kinds = await world.process(HAM)

    assert (reply.code, kinds) == (250, [OutcomeKind.HELD])
    assert world.metric("filterd_scan_failures_total", kind="unscannable") == 1


async def test_scan_down_climbs_the_ladder_from_defer_to_unscanned_delivery_and_back() -> None:
    world = World(scan_down_defer_seconds=300.0)
    world.scanner.failure = ScanDown("no model")

    first, _ = await world.process(HAM)
    world.clock.advance(299)
    second, _ = await world.process(HAM)
    world.clock.advance(2)
    third, _ = await world.process(HAM)

    assert [first.code, second.code, third.code] == [451, 451, 250]
    assert b"nscanned" in world.relay.sent[0][1]
    assert world.metric("filterd_scan_up") == 0

    world.scanner.failure = None
    assert (await world.process(SPAM))[1] == [OutcomeKind.HELD]
    world.scanner.failure = ScanDown("again")
    assert (await world.process(HAM))[0].code == 451, "the ladder starts at its foot again"
    assert world.metric("filterd_scan_up") == 0


async def test_unscannable_message_does_not_climb_the_ladder() -> None:
    world = World(scan_down_defer_seconds=0.001)
    world.scanner.failure = Unscannable("bomb")

    await world.process(HAM)
    world.clock.advance(10)
    _, kinds = await world.process(HAM, an_envelope(id="0" * 31 + "2"))

    assert kinds == [OutcomeKind.HELD], "fail-open is never per message"


@pytest.mark.parametrize("action", ["defer", "accept", "quarantine"])
async def test_scan_down_when_it_is_a_fixed_action_takes_it_at_once(action: str) -> None:
    world = World(scan_down=action)
    world.scanner.failure = ScanDown()

    processed = await world.pipeline.process(an_envelope(), HAM, world.relay)

    assert processed.verdicts[0].decision.action is Action(action)


async def test_overloaded_defers_whatever_the_policy_for_scan_down() -> None:
    world = World(scan_down="accept")
    world.scanner.failure = Overloaded()

    reply, kinds = await world.process(HAM)

    assert (reply.code, kinds) == (451, [OutcomeKind.DEFERRED])
    assert not world.relay.sent


async def test_released_message_passes_once_more_without_a_scan() -> None:
    world = World()
    stamp = world.pipeline.settings.stamp
    raw = release_header(SPAM, an_envelope().id, stamp) + SPAM

    reply, kinds = await world.process(raw, an_envelope(id="0" * 31 + "2"))

    assert (reply.code, kinds) == (250, [OutcomeKind.RELAYED])
    assert not world.scanner.seen


async def test_forged_release_header_is_scanned_and_held() -> None:
    world = World()
    stamp = replace(world.pipeline.settings.stamp, release_key=b"guess")
    raw = release_header(SPAM, an_envelope().id, stamp) + SPAM

    assert (await world.process(raw))[1] == [OutcomeKind.HELD]


def a_split_policy() -> Policy:
    """Bob quarantines, carol accepts everything, dave rejects."""
    return Policy(
        overrides=MappingProxyType(
            {
                "carol@example.net": Scope(rule=Rule(is_enabled=False)),
                "dave@example.net": Scope(rule=Rule(reject_at=0.9)),
            }
        )
    )


BOTH = ("bob@example.net", "carol@example.net")


async def test_mixed_recipients_when_all_goes_well_are_held_and_relayed_each_their_own() -> None:
    world = World(policy=a_split_policy())

    reply, kinds = await world.process(SPAM, an_envelope("a@example.org", *BOTH))

    assert (reply.code, kinds) == (250, [OutcomeKind.HELD, OutcomeKind.RELAYED])
    assert [r.address for r in world.relay.sent[0][0].recipients] == ["carol@example.net"]
    held = await world.store.held(an_envelope().id)
    assert (held.summary.recipients, held.summary.state) == (("bob@example.net",), HeldState.HELD)


@pytest.mark.parametrize("code", [451, 554])
async def test_mixed_recipients_when_the_relay_fails_nothing_stays_held(code: int) -> None:
    world = World(policy=a_split_policy())
    world.relay.reply = Reply(code=code)

    reply, _ = await world.process(SPAM, an_envelope("a@example.org", *BOTH))

    assert reply.code == code
    assert not await world.store.list_held()


async def test_mixed_recipients_when_the_hold_fails_nothing_is_relayed() -> None:
    world = World(policy=a_split_policy())
    world.store.failure = StoreUnavailable()

    reply, _ = await world.process(SPAM, an_envelope("a@example.org", *BOTH))

    assert reply.code == 451
    assert not world.relay.sent


async def test_mixed_recipients_when_one_would_reject_hold_for_that_one() -> None:
    world = World(policy=a_split_policy())

    reply, kinds = await world.process(SPAM, an_envelope("a@example.org", "dave@example.net", "carol@example.net"))

    assert (reply.code, kinds) == (250, [OutcomeKind.HELD, OutcomeKind.RELAYED])


async def test_judge_has_no_side_effect() -> None:
    world = World()

    judged = await world.pipeline.judge(an_envelope(), SPAM)

    assert isinstance(judged[0].decision, Decision)
    assert judged[0].decision.reason is Reason.SPAM
    assert not world.relay.sent
    assert world.metric("filterd_messages_total", channel="email", action="quarantine", reason="spam") == 0


async def test_sms_is_relayed_as_it_came() -> None:
    world = World()
    envelope = an_envelope("+1555", "+1999", channel=Channel.SMS)

    reply, _ = await world.process(b"see you at 7", envelope)

    assert reply.code == 250
    assert world.relay.sent[0][1] == b"see you at 7"


def remember(world: World, label: Label, *recipients: str, model: str = "test-model") -> None:
    report = Report(
        id=1,
        channel=Channel.EMAIL,
        message=MessageId("0" * 32),
        fingerprint="0" * 64,
        label=label,
        reporter="bob",
        recipients=recipients,
        given_at=world.clock.now(),
        model=model,
    )
    world.memory.apply([ReportChange(report=report, changed_at=world.clock.now(), is_standing=True)])
    world.scanner.fingerprint = "0" * 64


async def test_reported_copy_is_held_for_the_recipient_who_reported_it_and_relayed_to_the_other() -> None:
    world = World()
    remember(world, Label.SPAM, "bob@example.net")

    reply, kinds = await world.process(HAM, an_envelope("alice@example.org", "bob@example.net", "eve@example.net"))

    assert reply.is_positive
    assert kinds == [OutcomeKind.HELD, OutcomeKind.RELAYED]
    assert [[r.address for r in e.recipients] for e, _ in world.relay.sent] == [["eve@example.net"]]
    (held,) = await world.store.list_held()
    assert (held.reason, held.detail) == (Reason.REPORTED, "spam to recipient, report 1")


async def test_copy_of_what_was_reported_as_ham_is_relayed_whatever_the_model_says() -> None:
    world = World()
    remember(world, Label.HAM, "bob@example.net")

    _, kinds = await world.process(SPAM)

    assert kinds == [OutcomeKind.RELAYED]
    assert world.metric("filterd_messages_total", channel="email", action="accept", reason="reported") == 1


async def test_memory_hears_what_the_model_alone_would_have_said() -> None:
    world = World()
    remember(world, Label.SPAM, "bob@example.net", model="an-older-model")
    for _ in range(RETIRE_AFTER):
        await world.process(SPAM)
    await world.process(HAM)
    assert not world.memory.take_superfluous()

    for _ in range(RETIRE_AFTER):
        await world.process(SPAM)

    assert world.memory.take_superfluous() == [1]


async def test_memory_does_not_hear_of_messages_that_nobody_sent() -> None:
    """Who may only ask cannot retire a label by asking often."""
    world = World()
    remember(world, Label.SPAM, "bob@example.net", model="an-older-model")

    for _ in range(RETIRE_AFTER):
        (judged,) = await world.pipeline.judge(an_envelope(id=""), SPAM)

    assert judged.decision.action is Action.QUARANTINE
    assert not world.memory.take_superfluous()


@pytest.mark.parametrize(
    ("raw", "code", "ratio", "is_audit"),
    [
        (HAM, 250, 1.0, True),
        (SPAM, 250, 1.0, True),
        (HAM, 550, 1.0, False),
        (HAM, 451, 1.0, False),
        (HAM, 250, 0.0, False),
    ],
    ids=["relayed", "held", "refused", "deferred", "none wanted"],
)
async def test_audit_draws_from_what_gets_through_or_is_held(
    raw: bytes,
    code: int,
    ratio: float,
    is_audit: bool,  # noqa: FBT001  # a table's column
) -> None:
    world = World(audit_ratio=ratio)
    world.relay.reply = Reply(code=code, enhanced="2.0.0")

    await world.process(raw)

    (row,) = await world.store.verdicts(an_envelope().id)
    assert row.is_audit is is_audit

"""One worker's policy follows the book of rules and the configuration."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import MappingProxyType

import pytest
from prometheus_client import CollectorRegistry

from filterd.core.envelope import Channel, Recipient
from filterd.core.headers import Stamp
from filterd.core.overlay import EVERYBODY, OFF, ListEntry, ListKind, RuntimeRule, Thresholds
from filterd.core.policy import Policy, Rule, Scope
from filterd.errors import StoreUnavailable
from filterd.metrics import Metrics
from filterd.pipeline import Settings
from filterd.rule_keeper import WHOLE_SECONDS, RuleKeeper
from filterd.rule_ports import GivenRule, RuleOrigin
from filterd.testing import FixedClock, MemoryStore

ANN = "ann@example.net"
CONFIGURED = Settings(
    policies=MappingProxyType({Channel.EMAIL: Policy(), Channel.SMS: Policy(can_reject=False)}),
    stamp=Stamp(hostname="mx.example", trusted_authserv_ids=frozenset(), release_key=b"k"),
    policy_version="0123456789ab",
)


class World:
    """A book, and what one worker makes of it."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.store = MemoryStore(self.clock)
        self.settings = CONFIGURED
        registry = CollectorRegistry()
        self.metric = registry.get_sample_value
        self.keeper = self.another(registry)

    def another(self, registry: CollectorRegistry | None = None) -> RuleKeeper:
        metrics = Metrics(registry or CollectorRegistry())
        return RuleKeeper(self.store.rules, self, clock=self.clock, metrics=metrics)

    async def give(self, rule: RuntimeRule, *, late_seconds: float = 0.0) -> int:
        at = self.clock.now() - timedelta(seconds=late_seconds)
        given = GivenRule(rule=rule, by="ann", given_at=at, origin=RuleOrigin.API)
        return (await self.store.rules.add(given)).id

    def scope(self, channel: Channel = Channel.EMAIL) -> Scope:
        return self.settings.policies[channel].scopes(Recipient(address=ANN))[0]

    @property
    def allowed(self) -> frozenset[str]:
        return self.scope().allow.senders


@pytest.fixture
async def world() -> World:
    world = World()
    await world.keeper.refresh()
    return world


allow = partial(ListEntry.of, ANN, ListKind.ALLOW)


async def test_rules_when_given_and_revoked_are_applied_and_taken_back(world: World) -> None:
    id = await world.give(allow("friend.example"))
    await world.keeper.refresh()
    assert world.allowed == {"friend.example"}
    assert world.scope(Channel.SMS).allow.senders == {"friend.example"}
    assert world.metric("filterd_rules") == 1

    world.clock.advance(1)
    await world.store.rules.revoke([id], "ann")
    world.clock.advance(0.5)
    await world.keeper.refresh()

    assert world.settings == CONFIGURED
    assert world.metric("filterd_rules") == 0
    assert world.metric("filterd_rule_to_effect_seconds_count") == 2
    assert world.metric("filterd_rule_to_effect_seconds_sum") == 0.5


async def test_thresholds_when_revoked_bring_those_before_back(world: World) -> None:
    await world.give(Thresholds.of(ANN, quarantine_at=0.9))
    later = await world.give(Thresholds.of(ANN, quarantine_at=OFF, tag_at=OFF))
    await world.keeper.refresh()
    assert (world.scope().rule.tag_at, world.scope().rule.quarantine_at) == (None, None)

    await world.store.rules.revoke([later], "ann")
    await world.keeper.refresh()

    assert world.scope().rule == replace(Rule(), quarantine_at=0.9)


async def test_version_when_the_rules_change_is_another_one_and_the_same_in_every_worker(world: World) -> None:
    versions = [world.settings.policy_version]
    for entry in ("a.example", "b.example"):
        await world.give(allow(entry))
        await world.keeper.refresh()
        versions.append(world.settings.policy_version)
    world.settings = CONFIGURED
    await world.another().refresh()

    assert len(set(versions)) == 3
    assert world.settings.policy_version == versions[-1]
    assert {len(version) for version in versions} == {12}


async def test_settings_when_nothing_changed_are_not_replaced(world: World) -> None:
    await world.give(allow("a.example"))
    await world.keeper.refresh()
    before = world.settings
    for seconds in (0.5, WHOLE_SECONDS + 1):
        world.clock.advance(seconds)
        await world.keeper.refresh()

        assert world.settings is before


async def test_configuration_when_reloaded_keeps_the_rules_on_top(world: World) -> None:
    await world.give(allow("a.example"))
    await world.keeper.refresh()

    policy = Policy(default=Scope(rule=Rule(quarantine_at="strict")))
    world.keeper.configure(replace(CONFIGURED, policies=MappingProxyType({Channel.EMAIL: policy}), policy_version="f"))

    assert world.allowed == {"a.example"}
    assert world.scope().rule.quarantine_at == "strict"


async def test_rule_when_committed_late_by_a_host_whose_clock_is_behind_is_seen(world: World) -> None:
    await world.give(allow("a.example"))
    await world.keeper.refresh()
    await world.give(allow("b.example"), late_seconds=10)
    await world.keeper.refresh()

    assert world.allowed == {"a.example", "b.example"}


async def test_rule_when_another_host_s_clock_is_ahead_does_not_hide_ours(world: World) -> None:
    await world.give(allow("a.example"), late_seconds=-3_600)
    await world.keeper.refresh()
    await world.give(allow("b.example"))
    await world.keeper.refresh()

    assert world.allowed == {"a.example", "b.example"}


async def test_store_when_it_is_away_leaves_the_rules_and_what_was_missed_is_read_afterwards(world: World) -> None:
    first = await world.give(allow("a.example"))
    await world.keeper.refresh()
    world.store.failure = StoreUnavailable("away")
    await world.keeper.try_refresh()
    assert world.allowed == {"a.example"}

    world.store.failure = None
    await world.store.rules.revoke([first], "ann")
    await world.give(ListEntry.of(EVERYBODY, ListKind.DENY, "b.example"))
    world.clock.advance(3_600)
    await world.keeper.try_refresh()

    assert world.allowed == frozenset()
    assert world.scope().deny.senders == {"b.example"}

"""Rules set at run time over a configured policy: whom they reach, and what they leave alone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.config import from_tree
from filterd.core.envelope import Channel, Recipient
from filterd.core.overlay import (
    EVERYBODY,
    OFF,
    ListEntry,
    ListKind,
    RuntimeRule,
    Thresholds,
    overlaid,
    overlay_of,
)
from filterd.core.policy import Policy, Rule, Scope, SenderList, decide, scope_key
from filterd.core.verdict import Action, Decision, Reason
from filterd.policies import policies_of
from filterd.testing import a_scan, an_envelope

ANN, BOB, EVE = "ann@example.net", "bob@example.net", "eve@other.example"


def allow(entry: str, scope: str = ANN) -> ListEntry:
    return ListEntry.of(scope, ListKind.ALLOW, entry)


def deny(entry: str, scope: str = ANN) -> ListEntry:
    return ListEntry.of(scope, ListKind.DENY, entry)


def laid(*rules: RuntimeRule, **policy: Any) -> Policy:
    configured = policies_of(from_tree({"policy": policy}))[Channel.EMAIL]
    return overlaid(configured, overlay_of(rules))


def judged(policy: Policy, recipient: str = ANN, probability: float = 0.95, sender: str = "x@spam.example") -> Decision:
    return decide(a_scan(probability), an_envelope(sender), Recipient(address=recipient), policy)


def rule(policy: Policy, recipient: str = ANN) -> Rule:
    return policy.scopes(Recipient(address=recipient))[0].rule


# Whom an entry reaches


@pytest.mark.parametrize(
    ("scope", "reached"),
    [
        (ANN, {ANN}),
        ("Ann@Example.NET ", {ANN}),
        ("example.net", {ANN, BOB}),
        ("@lists.example.net", {"cid@lists.example.net"}),
        (EVERYBODY, {ANN, BOB, EVE, "cid@lists.example.net"}),
        ("net", set()),
    ],
)
def test_allow_entry_reaches_its_scope_and_nobody_else(scope: str, reached: set[str]) -> None:
    policy = laid(allow("spam.example", scope))

    everyone = (ANN, BOB, EVE, "cid@lists.example.net")
    decisions = {recipient: judged(policy, recipient) for recipient in everyone}

    assert {r for r, d in decisions.items() if d.reason is Reason.ALLOWED} == reached
    assert {d.action for r, d in decisions.items() if r not in reached} <= {Action.QUARANTINE}


_NAMES = st.sampled_from(["example.net", "lists.example.net", "other.example", ANN, BOB, EVE, "x@lists.example.net"])


@given(st.lists(st.tuples(_NAMES, st.sampled_from(ListKind), st.sampled_from(["spam.example", "x@spam.example"]))))
def test_rules_of_a_scope_change_nothing_for_recipients_outside_it(rules: list[tuple[str, ListKind, str]]) -> None:
    entries = [ListEntry.of(*each) for each in rules]
    for recipient in ("zoe@third.example", ANN, EVE):
        about = [e for e in entries if e.scope == recipient or recipient.endswith(f"@{e.scope}")]

        assert judged(laid(*entries), recipient) == judged(laid(*about), recipient)


def test_entry_of_a_number_reaches_it_with_and_without_its_plus() -> None:
    policy = laid(allow("+15550001", "+15559999"))

    for recipient in ("+15559999", "15559999"):
        assert judged(policy, recipient, sender="+15550001").reason is Reason.ALLOWED
    assert judged(policy, "+15559990", sender="+15550001").reason is Reason.SPAM


# Precedence


@pytest.mark.parametrize(
    ("rules", "configured", "reason", "detail"),
    [
        ((allow("spam.example"),), {"deny": ["x@spam.example"]}, Reason.ALLOWED, "spam.example"),
        ((deny("spam.example", EVERYBODY), allow("spam.example")), {}, Reason.ALLOWED, "spam.example"),
        ((allow("x@spam.example", "example.net"), deny("spam.example")), {}, Reason.DENIED, "spam.example"),
        ((deny("spam.example", EVERYBODY),), {"allow": ["spam.example"]}, Reason.ALLOWED, "spam.example"),
        ((deny("x@spam.example", EVERYBODY),), {"allow": ["spam.example"]}, Reason.DENIED, "x@spam.example"),
        ((allow("x@spam.example", EVERYBODY),), {"deny": ["spam.example"]}, Reason.ALLOWED, "x@spam.example"),
        ((deny("spam.example"), allow("192.0.2.0/24")), {}, Reason.DENIED, "spam.example"),
    ],
)
def test_runtime_and_configured_entries_follow_one_precedence(
    rules: tuple[RuntimeRule, ...], configured: Mapping[str, Any], reason: Reason, detail: str
) -> None:
    decision = judged(laid(*rules, **configured))

    assert (decision.reason, decision.detail) == (reason, detail)


def test_entries_join_those_configured_for_the_same_scope() -> None:
    policy = laid(
        allow("spam.example"), deny("198.51.100.0/24"), overrides=[{"recipients": [ANN], "deny": ["bad.example"]}]
    )
    (scope, _) = policy.scopes(Recipient(address=ANN))

    assert scope.allow == SenderList.of(("spam.example",))
    assert scope.deny == SenderList.of(("bad.example", "198.51.100.0/24"))
    assert policy.overrides.keys() == {ANN}


# Thresholds


def test_thresholds_replace_what_they_say_and_leave_the_rest() -> None:
    policy = laid(
        Thresholds.of(ANN, quarantine_at=0.99),
        overrides=[{"recipients": [ANN], "tag_at": 0.1, "subject_tag": "[spam]"}],
        reject_at=0.999,
    )

    found = rule(policy)

    assert (found.tag_at, found.quarantine_at, found.reject_at, found.subject_tag) == (0.1, 0.99, 0.999, "[spam]")
    assert rule(policy, BOB).quarantine_at == "lenient"


def test_thresholds_when_off_never_act() -> None:
    policy = laid(Thresholds.of(ANN, tag_at=OFF, quarantine_at=OFF))

    assert judged(policy, ANN, 1.0).action is Action.ACCEPT
    assert judged(policy, BOB, 1.0).action is Action.QUARANTINE


def test_thresholds_when_filtering_is_off_pass_all_but_denied_senders() -> None:
    policy = laid(Thresholds.of(ANN, is_enabled=False), deny("bad.example"))

    assert judged(policy, ANN, 1.0).detail == "filtering off"
    assert judged(policy, ANN, 0.0, "y@bad.example").reason is Reason.DENIED


def test_thresholds_of_a_scope_hold_until_later_ones() -> None:
    first, second = Thresholds.of(ANN, quarantine_at=0.9, tag_at=0.2), Thresholds.of(ANN, quarantine_at=0.7)

    assert rule(laid(first, second)) == replace(Rule(), quarantine_at=0.7)
    assert rule(laid(first)) == replace(Rule(), quarantine_at=0.9, tag_at=0.2)


def test_recipient_with_entries_only_keeps_the_rule_of_the_domain() -> None:
    configured = {"overrides": [{"recipients": ["example.net"], "quarantine_at": 0.5}]}

    assert rule(laid(allow("friend.example"), **configured)).quarantine_at == 0.5
    policy = laid(allow("friend.example"), Thresholds.of("example.net", quarantine_at=0.4), **configured)
    assert rule(policy).quarantine_at == rule(policy, BOB).quarantine_at == 0.4


def test_domain_s_rules_are_not_those_of_the_domains_below_it_though_configured_ones_are() -> None:
    configured = {"overrides": [{"recipients": ["example.net"], "quarantine_at": 0.5, "deny": ["bad.example"]}]}
    policy = laid(Thresholds.of("example.net", quarantine_at=0.4), allow("friend.example", "example.net"), **configured)
    below = "cid@lists.example.net"

    assert (rule(policy).quarantine_at, rule(policy, below).quarantine_at) == (0.4, 0.5)
    assert judged(policy, below, sender="x@friend.example").reason is Reason.SPAM
    assert judged(policy, below, sender="x@bad.example").reason is Reason.DENIED
    assert judged(policy, sender="x@bad.example").reason is Reason.DENIED


def test_configured_override_follows_the_default_of_the_moment_in_what_it_leaves_out() -> None:
    policy = laid(
        Thresholds.of(EVERYBODY, tag_at=0.3, quarantine_at=0.8),
        overrides=[{"recipients": ["example.net"], "quarantine_at": 0.5}],
    )

    assert (rule(policy).tag_at, rule(policy).quarantine_at) == (0.3, 0.5)
    assert (rule(policy, EVE).tag_at, rule(policy, EVE).quarantine_at) == (0.3, 0.8)


# What is kept


def test_policy_without_rules_is_itself() -> None:
    policy = Policy(overrides=MappingProxyType({ANN: Scope(rule=Rule())}))

    assert overlaid(policy, overlay_of(())) is policy


@pytest.mark.parametrize(
    ("entry", "kept"),
    [
        (" Eve@Example.ORG ", "eve@example.org"),
        ("@Example.org.", "example.org"),
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("2001:DB8::1", "2001:db8::1/128"),
        ("+15550001", "+15550001"),
    ],
)
def test_entry_has_one_spelling(entry: str, kept: str) -> None:
    assert allow(entry).entry == kept


@pytest.mark.parametrize("entry", ["", " ", "@", "two words", "a\x00b@example.org", "\udc80@example.org", "x" * 255])
def test_entry_that_names_nobody_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        allow(entry)


@pytest.mark.parametrize("scope", ["@", " . ", "two words", "a\nb", "x" * 255])
def test_scope_that_names_nobody_is_refused_and_never_means_everybody(scope: str) -> None:
    with pytest.raises(ValueError, match="not a recipient"):
        allow("eve@example.org", scope)


@pytest.mark.parametrize("said", [{}, {"tag_at": "brutal"}, {"quarantine_at": 1.5}, {"quarantine_at": -0.1}])
def test_thresholds_that_mean_nothing_are_refused(said: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"say|not a"):
        Thresholds.of(ANN, **said)


def test_scope_key_is_what_policy_looks_up() -> None:
    assert [scope_key(t) for t in (" Ann@Example.NET", "@Example.net.", "+1555", "")] == [
        ANN,
        "example.net",
        "1555",
        "",
    ]


def test_ten_thousand_entries_of_a_thousand_scopes_apply_in_a_tenth_of_a_second() -> None:
    entries = [
        allow(f"s{n}@some.example" if n % 2 else f"d{n}.example", f"u{n % 1000}@d.example") for n in range(10_000)
    ]
    spent = []
    for _ in range(3):
        started = time.process_time()
        policy = overlaid(Policy(), overlay_of(entries))
        spent.append(time.process_time() - started)

    assert min(spent) < 0.1
    assert len(policy.overrides) == 1_000

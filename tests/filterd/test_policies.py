"""Policy settings become one policy per channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from filterd.config import from_tree
from filterd.core.envelope import Channel, Recipient
from filterd.core.policy import Rule
from filterd.core.verdict import Action
from filterd.errors import ConfigError
from filterd.policies import policies_of


def _rule(tree: Mapping[str, Any], recipient: str = "bob@example.net", channel: Channel = Channel.EMAIL) -> Rule:
    policy = policies_of(from_tree(tree))[channel]
    return policy.scopes(Recipient(address=recipient))[0].rule


def test_override_when_it_leaves_keys_out_follows_the_default_rule() -> None:
    tree = {
        "policy": {
            "tag_at": 0.4,
            "subject_tag": "[spam]",
            "enabled": False,
            "overrides": [{"recipients": ["@Example.NET."], "quarantine_at": "off"}],
        }
    }
    rule = _rule(tree)

    assert rule.quarantine_at is None
    assert (rule.tag_at, rule.subject_tag, rule.is_enabled) == (0.4, "[spam]", False)
    assert _rule(tree, "bob@elsewhere.example").quarantine_at == "lenient"


def test_override_when_it_says_the_default_value_wins_over_the_default_rule() -> None:
    tree = {
        "policy": {
            "unscannable": "tag",
            "enabled": False,
            "overrides": [{"recipients": ["bob@example.net"], "unscannable": "quarantine", "enabled": True}],
        }
    }

    assert _rule(tree).unscannable is Action.QUARANTINE
    assert _rule(tree).is_enabled
    assert _rule(tree, "eve@example.net").unscannable is Action.TAG


def test_narrowest_override_holds() -> None:
    overrides = [
        {"recipients": ["example.net"], "tag_at": 0.1},
        {"recipients": ["lists.example.net"], "tag_at": 0.2},
        {"recipients": ["bob@lists.example.net"], "tag_at": 0.3},
    ]
    tree = {"policy": {"overrides": overrides}}

    assert _rule(tree, "bob@lists.example.net").tag_at == 0.3
    assert _rule(tree, "eve@lists.example.net").tag_at == 0.2
    assert _rule(tree, "eve@example.net").tag_at == 0.1


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"tag_at": "norml"}, "policy.tag_at: no operating point is named 'norml'; did you mean 'normal'?"),
        ({"overrides": [{"recipients": ["a.example"], "tag_at": "x"}]}, "policy.overrides[0].tag_at: no operating"),
        (
            {"overrides": [{"recipients": ["a.example"]}, {"recipients": ["A.example"]}]},
            "policy.overrides[1].recipients: a.example is named twice",
        ),
    ],
    ids=["misspelt", "misspelt-in-override", "twice"],
)
def test_policy_that_could_not_act_is_refused(policy: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        policies_of(from_tree({"policy": policy}))

    assert refused.value.detail.startswith(said)


@pytest.mark.parametrize("position", ["before-queue", "after-queue"])
def test_only_mail_before_the_queue_may_be_rejected(position: str) -> None:
    policies = policies_of(from_tree({"smtp": {"position": position}}))

    assert policies[Channel.EMAIL].can_reject == (position == "before-queue")
    assert not policies[Channel.SMS].can_reject


def test_allow_when_it_needs_proof_needs_it_of_mail_only() -> None:
    """A phone number has no domain that could vouch for it."""
    policies = policies_of(from_tree({"policy": {"allow_needs_auth": True}}))

    assert policies[Channel.EMAIL].allow_needs_auth
    assert not policies[Channel.SMS].allow_needs_auth

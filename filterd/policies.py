"""Turns the policy settings into one ``Policy`` per channel.

The keys an override leaves out follow the default rule; its lists are its own, the default lists still apply
after them (``core.policy`` has the precedence).
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from filterd.core.bundle import POINT_NAMES
from filterd.core.envelope import Channel
from filterd.core.policy import Policy, Rule, Scope, SenderList, Threshold, scope_key
from filterd.core.reported import Agreement
from filterd.core.verdict import Action
from filterd.errors import ConfigError
from filterd.settings import Config, OverrideSettings, PolicySettings, RuleSettings

_FIELDS = {
    "tag_at": "tag_at",
    "quarantine_at": "quarantine_at",
    "reject_at": "reject_at",
    "subject_tag": "subject_tag",
    "unscannable": "unscannable",
    "enabled": "is_enabled",
}
"""Key of a rule in the settings -> field of ``Rule``."""


def policies_of(config: Config) -> Mapping[Channel, Policy]:
    """The policy of each channel. Raises ConfigError for an unknown operating point or a recipient named twice.

    An SMS is never refused: its sender has no queue, so what mail would reject is held.
    """
    settings = config.policy
    default = Scope(
        rule=_rule("policy", settings), allow=SenderList.of(settings.allow), deny=SenderList.of(settings.deny)
    )
    policy = Policy(
        default=default,
        overrides=MappingProxyType(_overrides(settings, default.rule)),
        deny_action=Action(settings.deny_action),
        can_reject=config.smtp.position == "before-queue",
        allow_needs_auth=settings.allow_needs_auth,
        agreement=Agreement(
            domain=config.learning.domain_reporters,
            all=config.learning.all_reporters,
            sure=config.learning.sure_factor,
        ),
    )
    return MappingProxyType(
        {Channel.EMAIL: policy, Channel.SMS: replace(policy, can_reject=False, allow_needs_auth=False)}
    )


def version_of(config: Config) -> str:
    """12 hex digits that stand for everything a decision depends on besides model and reports."""
    # Which messages are audited decides nothing.
    learning = config.learning.model_dump(mode="json", exclude={"audit_ratio"})
    text = json.dumps([config.policy.model_dump(mode="json"), learning], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def version_with(version: str, rules: Iterable[int]) -> str:
    """12 hex digits that stand for ``version`` and these rules of the book; ``version`` itself without any.

    A rule's text never changes, so its number is enough.
    """
    numbers = sorted(rules)
    if not numbers:
        return version
    return hashlib.sha256(f"{version} {numbers}".encode()).hexdigest()[:12]


def _rule(where: str, settings: RuleSettings) -> Rule:
    return Rule(
        tag_at=_known_point(f"{where}.tag_at", settings.tag_at),
        quarantine_at=_known_point(f"{where}.quarantine_at", settings.quarantine_at),
        reject_at=_known_point(f"{where}.reject_at", settings.reject_at),
        subject_tag=settings.subject_tag,
        unscannable=settings.unscannable,
        is_enabled=settings.enabled,
    )


def _known_point(key: str, at: Threshold | None) -> Threshold | None:
    """``at``, if every bundle has such an operating point: a misspelt one would never act."""
    if isinstance(at, str) and at not in POINT_NAMES:
        near = difflib.get_close_matches(at, POINT_NAMES, n=1, cutoff=0.0)[0]
        raise ConfigError(f"{key}: no operating point is named {at!r}; did you mean {near!r}?")
    return at


def _overrides(settings: PolicySettings, default: Rule) -> dict[str, Scope]:
    scopes: dict[str, Scope] = {}
    for i, override in enumerate(settings.overrides):
        scope = Scope(
            rule=_overridden(f"policy.overrides[{i}]", override, default),
            allow=SenderList.of(override.allow),
            deny=SenderList.of(override.deny),
            own=_own(override),
        )
        for recipient in override.recipients:
            name = scope_key(recipient)
            if name in scopes:
                raise ConfigError(f"policy.overrides[{i}].recipients: {name} is named twice")
            scopes[name] = scope
    return scopes


def _overridden(where: str, override: OverrideSettings, default: Rule) -> Rule:
    said = _rule(where, override)
    return replace(default, **{field: getattr(said, field) for field in _own(override)})


def _own(override: OverrideSettings) -> frozenset[str]:
    return frozenset(field for key, field in _FIELDS.items() if key in override.model_fields_set)

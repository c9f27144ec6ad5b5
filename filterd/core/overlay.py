"""Rules that people set while the filter runs, laid over the policy that is configured.

A list entry, or thresholds, hold for one scope: everybody, a recipient domain without those below it (they may be
somebody else's), or one recipient. Within a scope they join what is configured for it; between scopes the precedence of
``core.policy`` stays, so that nobody's rule reaches beyond its scope. Thresholds replace those configured, and leave
alone what they do not say: ``reject_at`` is the operator's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from filterd.core.bundle import POINT_NAMES
from filterd.core.envelope import domain_of
from filterd.core.policy import Policy, Rule, Scope, SenderList, Threshold, scope_key

EVERYBODY = ""
"""The scope of rules that hold for every recipient."""
OFF = "off"
"""A threshold that is never reached."""
LONGEST = 254
"""Characters of a scope or an entry: the longest path of RFC 5321."""


class ListKind(StrEnum):
    """What becomes of a sender on the list."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListEntry:
    """A sender who always passes, or never does, for one scope."""

    scope: str
    """``scope_key`` of the recipient or domain; EVERYBODY for all."""
    kind: ListKind
    entry: str
    """An address, a domain, a phone number or a network, as ``SenderList.of`` takes it."""

    @classmethod
    def of(cls, scope: str, kind: ListKind, entry: str) -> ListEntry:
        """The entry as it is kept: one spelling for each scope and sender. Raises ValueError for what is neither."""
        return cls(scope=known_scope(scope), kind=kind, entry=known_entry(entry))


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From where on one scope's messages are tagged and held; None leaves it as it is without."""

    scope: str
    tag_at: Threshold | None = None
    """An operating point, a probability in [0, 1], or OFF."""
    quarantine_at: Threshold | None = None
    is_enabled: bool | None = None
    """False passes everything that no list entry names."""

    @classmethod
    def of(
        cls,
        scope: str,
        *,
        tag_at: Threshold | None = None,
        quarantine_at: Threshold | None = None,
        is_enabled: bool | None = None,
    ) -> Thresholds:
        """The thresholds as they are kept. Raises ValueError for one that is none, or where nothing is said."""
        if tag_at is None and quarantine_at is None and is_enabled is None:
            raise ValueError("say a threshold, or whether filtering is on")
        return cls(
            scope=known_scope(scope),
            tag_at=known_threshold(tag_at),
            quarantine_at=known_threshold(quarantine_at),
            is_enabled=is_enabled,
        )


RuntimeRule = ListEntry | Thresholds


def told(rule: RuntimeRule) -> str:
    """What the rule says, without its scope: ``deny casino.example``, ``tag_at=0.5 quarantine_at=off``."""
    if isinstance(rule, ListEntry):
        return f"{rule.kind.value} {rule.entry}"
    said = {"tag_at": rule.tag_at, "quarantine_at": rule.quarantine_at, "enabled": rule.is_enabled}
    return " ".join(f"{name}={value}" for name, value in said.items() if value is not None)


def known_scope(text: str) -> str:
    """The scope ``text`` names, as it is kept; empty for everybody. Raises ValueError."""
    scope = scope_key(text)
    if (text and not scope) or not _is_name(scope):
        raise ValueError("not a recipient address, number or domain")
    return scope


def known_entry(text: str) -> str:
    """The sender ``text`` names, as it is kept. Raises ValueError."""
    found = SenderList.of((text,))
    entry = next(iter(found.senders), None) or str(found.networks[0])
    if not _is_name(entry):
        raise ValueError("not an address, domain, phone number or network")
    return entry


def known_threshold(at: Threshold | None) -> Threshold | None:
    """``at``, if every bundle can go by it: a misspelt one would never act. Raises ValueError."""
    is_known = at is None or at in (OFF, *POINT_NAMES) if isinstance(at, str | None) else 0 <= at <= 1
    if not is_known:
        raise ValueError(f"not a threshold: {', '.join(POINT_NAMES)}, off, or a probability from 0 to 1")
    return at


def _is_name(text: str) -> bool:
    return len(text) <= LONGEST and text.isprintable() and " " not in text


_NOBODY = SenderList()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeRules:
    """What holds for one scope at run time."""

    allow: SenderList = _NOBODY
    deny: SenderList = _NOBODY
    thresholds: Thresholds | None = None


def overlay_of(rules: Iterable[RuntimeRule]) -> Mapping[str, ScopeRules]:
    """By scope, what ``rules`` make together; of several thresholds of a scope the last one holds."""
    lists: dict[str, dict[ListKind, list[str]]] = {}
    thresholds: dict[str, Thresholds] = {}
    for rule in rules:
        kinds = lists.setdefault(rule.scope, {ListKind.ALLOW: [], ListKind.DENY: []})
        if isinstance(rule, ListEntry):
            kinds[rule.kind].append(rule.entry)
        else:
            thresholds[rule.scope] = rule
    found = {
        scope: ScopeRules(
            allow=SenderList.of(tuple(kinds[ListKind.ALLOW])),
            deny=SenderList.of(tuple(kinds[ListKind.DENY])),
            thresholds=thresholds.get(scope),
        )
        for scope, kinds in lists.items()
    }
    return MappingProxyType(found)


def overlaid(policy: Policy, overlay: Mapping[str, ScopeRules]) -> Policy:
    """``policy`` with the run-time rules of each scope joined to what is configured for it.

    A scope that only has run-time rules follows the next wider one in what they do not say.
    """
    if not overlay:
        return policy
    default = _with(policy.default, overlay.get(EVERYBODY))
    scopes = {name: replace(s, rule=_following(default.rule, s)) for name, s in policy.overrides.items()}
    for name in sorted(overlay.keys() - {EVERYBODY}, key=_is_recipient):
        around = next((scopes[wider] for wider in _wider(name) if wider in scopes), default)
        own = scopes.get(name, Scope(rule=around.rule))
        scopes[name if _is_recipient(name) else f"@{name}"] = _with(own, overlay[name])
    return replace(policy, default=default, overrides=MappingProxyType(scopes))


def _is_recipient(scope: str) -> bool:
    """Whether it is an address or number; else it is a domain."""
    return "@" in scope or scope.isdigit()


def _wider(name: str) -> list[str]:
    """Names of the scopes around ``name``, narrowest first, without the default."""
    domain = domain_of(name)
    labels = (domain or name).split(".")
    above = [".".join(labels[i:]) for i in range(len(labels))]
    return [f"@{domain}", *above] if domain else above[1:]


def _following(default: Rule, configured: Scope) -> Rule:
    return replace(default, **{field: getattr(configured.rule, field) for field in configured.own})


def _with(scope: Scope, rules: ScopeRules | None) -> Scope:
    if rules is None:
        return scope
    rule = scope.rule if rules.thresholds is None else _ruled(scope.rule, rules.thresholds)
    return replace(scope, rule=rule, allow=scope.allow.joined(rules.allow), deny=scope.deny.joined(rules.deny))


def _ruled(rule: Rule, said: Thresholds) -> Rule:
    return replace(
        rule,
        tag_at=_threshold(said.tag_at, rule.tag_at),
        quarantine_at=_threshold(said.quarantine_at, rule.quarantine_at),
        is_enabled=rule.is_enabled if said.is_enabled is None else said.is_enabled,
    )


def _threshold(said: Threshold | None, without: Threshold | None) -> Threshold | None:
    if said is None:
        return without
    return None if said == OFF else said

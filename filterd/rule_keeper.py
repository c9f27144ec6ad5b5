"""Keeps one worker's policy as the configuration and the book of rules have it.

It asks the database for what changed, as ``report_keeper`` does, in a task of its own: a rule must not wait until
labels have been learned. The policy is replaced whole, in one assignment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol

from filterd.core.overlay import RuntimeRule, ScopeRules, overlaid, overlay_of
from filterd.errors import FilterdError
from filterd.metrics import Metrics
from filterd.pipeline import Settings
from filterd.policies import version_with
from filterd.ports import Clock, Pause
from filterd.rule_ports import RuleChanges, RuleRow

OVERLAP_SECONDS = 15.0
"""How far back each question goes: what was written by a host whose clock is behind, or committed late, is seen too."""
WHOLE_SECONDS = 600.0
"""How often all of it is read again: whatever was missed is put right."""


class Ruled(Protocol):
    """What decides by the settings."""

    settings: Settings


class RuleKeeper:
    """Lays the rules that stand over the settings that were configured."""

    def __init__(self, book: RuleChanges, ruled: Ruled, *, clock: Clock, metrics: Metrics) -> None:
        """``ruled`` has the configured settings."""
        self._book = book
        self._ruled = ruled
        self._configured = ruled.settings
        self._clock = clock
        self._metrics = metrics
        self._rules: dict[int, RuntimeRule] = {}
        """Those that stand, by number."""
        self._overlay: dict[str, ScopeRules] = {}
        self._known: set[tuple[int, bool]] = set()
        self._seen: datetime | None = None
        self._whole_at = 0.0

    def configure(self, settings: Settings) -> None:
        """Take new configured settings; the rules hold on top of them."""
        self._configured = settings
        self._apply()

    async def watch(self, pause: Pause) -> None:
        """Follow the book, until cancelled; while the database is away the rules stay as they are."""
        while True:
            await self.try_refresh()
            await pause()

    async def try_refresh(self) -> None:
        """Bring the policy up to date, if the database is there."""
        try:
            await self.refresh()
        except (FilterdError, TimeoutError):
            # The store's keeper says so. What changed meanwhile is found by reading everything.
            self._seen = None

    async def refresh(self) -> None:
        """Bring the policy up to date. Raises StoreUnavailable."""
        if self._seen is None or self._clock.monotonic() - self._whole_at > WHOLE_SECONDS:
            await self._read_all()
            return
        rows = await self._book.changes_since(self._seen - timedelta(seconds=OVERLAP_SECONDS))
        fresh = [row for row in rows if (row.id, row.is_standing) not in self._known]
        self._known = {(row.id, row.is_standing) for row in rows}
        if not fresh:
            return
        self._lay(scope for row in fresh for scope in self._note(row))
        self._seen = self._latest(fresh, self._seen)
        self._observe(fresh)

    async def _read_all(self) -> None:
        now = self._clock.now()
        rows = await self._book.changes_since(None)
        if self._rules.keys() != {row.id for row in rows}:
            self._rules = {row.id: row.given.rule for row in rows}
            self._lay({*self._overlay, *(rule.scope for rule in self._rules.values())})
        self._known = {(row.id, True) for row in rows}
        self._seen, self._whole_at = now, self._clock.monotonic()

    def _latest(self, rows: Sequence[RuleRow], before: datetime) -> datetime:
        """The latest change that was seen; not one of a host whose clock is ahead of ours."""
        return min(self._clock.now(), max(before, *(row.changed_at for row in rows)))

    def _note(self, row: RuleRow) -> list[str]:
        """Know the rule as it is now; the scopes it concerns."""
        before = self._rules.pop(row.id, None)
        if row.is_standing:
            self._rules[row.id] = row.given.rule
        # What was erased no longer says whose it was.
        return [row.given.rule.scope] if before is None else [before.scope, row.given.rule.scope]

    def _lay(self, touched: Iterable[str]) -> None:
        """Put together the rules of the scopes that changed, and apply all."""
        scopes = set(touched)
        for scope in scopes:
            self._overlay.pop(scope, None)
        self._overlay |= overlay_of(rule for _, rule in sorted(self._rules.items()) if rule.scope in scopes)
        self._apply()

    def _apply(self) -> None:
        self._ruled.settings = settings_with(self._configured, self._overlay, self._rules.keys())
        self._metrics.rules.set(len(self._rules))

    def _observe(self, rows: Sequence[RuleRow]) -> None:
        now = self._clock.now()
        for row in rows:
            self._metrics.rule_to_effect_seconds.observe(max(0.0, (now - row.changed_at).total_seconds()))


def settings_with(configured: Settings, overlay: Mapping[str, ScopeRules], numbers: Collection[int]) -> Settings:
    """``configured`` with the rules of ``overlay``, which have these numbers, over every channel's policy."""
    policies = {channel: overlaid(policy, overlay) for channel, policy in configured.policies.items()}
    return replace(
        configured,
        policies=MappingProxyType(policies),
        policy_version=version_with(configured.policy_version, numbers),
    )

"""The life of held messages, in any order of events, against a model of a few lines.

What was acknowledged and neither released nor deleted is in the quarantine, once, as it was received.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from filterd.core.envelope import MessageId
from filterd.core.verdict import Action, Decision, Reason
from filterd.errors import NotFound, UsageError
from filterd.ports import HeldState
from filterd.store.engine import database_url
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock, MemoryStore, a_scan, an_envelope
from tests.contract.empty_database import empty_database

HOLD = Decision(action=Action.QUARANTINE, reason=Reason.SPAM, scan=a_scan(0.97))
CONTENTS = strategies.sampled_from([b"first", b"second"])
PEOPLE = strategies.sampled_from(["ann", "bob"])
LEASE_SECONDS = 600
VISIBLE = {"held", "releasing"}

T = TypeVar("T")


@dataclass
class Row:
    """What the model knows of one content."""

    state: str = "none"
    since: float = 0.0
    attempts: list[MessageId] = field(default_factory=list)
    """Ids of the attempts to send it, since it last left the quarantine."""
    waiting: list[MessageId] = field(default_factory=list)
    """Attempts whose session has not been answered yet."""
    claimed_by: str = ""
    lease_until: float = 0.0

    def leave(self) -> None:
        """Released, deleted or reaped."""
        self.state = "none"
        self.attempts.clear()
        self.waiting.clear()


def _has_attempts(machine: LifeCycle) -> bool:
    return any(row.attempts for row in machine.rows.values())


class LifeCycle(RuleBasedStateMachine):
    """Sessions, people and time, in any order."""

    store: MemoryStore | SqlStore

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FixedClock()
        self.rows = {b"first": Row(), b"second": Row()}
        self.serial = 0

    def run_(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return self.runner.run(awaited())

    def teardown(self) -> None:
        self.runner.close()

    @initialize()
    def open_(self) -> None:
        self.store = MemoryStore(self.clock)

    @rule(content=CONTENTS, is_pending=strategies.booleans())
    def hold(self, content: bytes, is_pending: bool) -> None:  # noqa: FBT001  # drawn
        self.serial += 1
        id = MessageId(f"{self.serial << 80:032x}")
        self.run_(self.store.hold(an_envelope(id=id), content, HOLD, pending=is_pending))
        row = self.rows[content]
        row.attempts.append(id)
        row.since = self.clock.monotonic()
        if is_pending:
            row.waiting.append(id)
        if row.state not in VISIBLE:
            row.state = "pending" if is_pending else "held"

    @precondition(lambda self: any(row.waiting for row in self.rows.values()))
    @rule(data=strategies.data(), is_held=strategies.booleans())
    def settle(self, data: strategies.DataObject, is_held: bool) -> None:  # noqa: FBT001  # drawn
        row = data.draw(strategies.sampled_from([row for row in self.rows.values() if row.waiting]))
        id = row.waiting.pop(data.draw(strategies.integers(0, len(row.waiting) - 1)))
        self.run_(self.store.settle(id, HeldState.HELD if is_held else HeldState.ABORTED))
        if row.state == "pending" or (is_held and row.state == "aborted"):
            row.state = "held" if is_held else "aborted"
            row.since = self.clock.monotonic()

    @precondition(_has_attempts)
    @rule(by=PEOPLE, data=strategies.data())
    def claim(self, by: str, data: strategies.DataObject) -> None:
        content, row = self._draw(data)
        id = data.draw(strategies.sampled_from(row.attempts))
        if self._is_free(row):
            assert self.run_(self.store.claim_release(id, by, LEASE_SECONDS)).raw == content
            row.state, row.claimed_by = "releasing", by
            row.lease_until = self.clock.monotonic() + LEASE_SECONDS
        else:
            self._refused(self.store.claim_release(id, by, LEASE_SECONDS))

    @precondition(_has_attempts)
    @rule(by=PEOPLE, is_delivered=strategies.booleans(), data=strategies.data())
    def finish(self, by: str, is_delivered: bool, data: strategies.DataObject) -> None:  # noqa: FBT001  # drawn
        _, row = self._draw(data)
        work = self.store.finish_release(row.attempts[0], by, delivered=is_delivered)
        if is_delivered and row.state in VISIBLE:
            self.run_(work)
            row.leave()
        elif not is_delivered and row.state == "releasing" and row.claimed_by == by:
            self.run_(work)
            row.state = "held"
        else:
            self._refused(work)

    @precondition(_has_attempts)
    @rule(data=strategies.data())
    def delete(self, data: strategies.DataObject) -> None:
        _, row = self._draw(data)
        work = self.store.delete_held(row.attempts[0], "ann")
        if row.state == "pending" or self._is_free(row):
            self.run_(work)
            row.leave()
        else:
            self._refused(work)

    @rule(seconds=strategies.sampled_from([60, 601, 3_601]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)
        for row in self.rows.values():
            # No session lasts that long: their processes were killed before they could settle.
            if seconds > 600:
                row.waiting.clear()

    @rule()
    def reap(self) -> None:
        self.run_(self.store.reap())
        now = self.clock.monotonic()
        for row in self.rows.values():
            if row.state == "pending" and now - row.since > 3_600:
                row.state, row.since = "held", now
            elif row.state == "releasing" and row.lease_until < now:
                row.state = "held"
            elif row.state == "aborted" and now - row.since > 3_600:
                row.leave()

    @invariant()
    def quarantine_is_what_the_model_says(self) -> None:
        if not hasattr(self, "store"):
            return
        found = sorted(self.run_(self.store.held(s.id)).raw for s in self.run_(self.store.list_held()))
        assert found == sorted(content for content, row in self.rows.items() if row.state in VISIBLE)

    def _draw(self, data: strategies.DataObject) -> tuple[bytes, Row]:
        return data.draw(strategies.sampled_from([item for item in self.rows.items() if item[1].attempts]))

    def _is_free(self, row: Row) -> bool:
        is_over = row.state == "releasing" and row.lease_until < self.clock.monotonic()
        return row.state == "held" or is_over

    def _refused(self, work: Awaitable[object]) -> None:
        try:
            self.run_(work)
        except (UsageError, NotFound):
            return
        raise AssertionError("was carried out")


class SqliteLifeCycle(LifeCycle):
    """The same on a database."""

    @initialize()
    def open_(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "s.db"
        path.write_bytes(empty_database())
        self.stack = AsyncExitStack()
        url = database_url(f"sqlite:///{path}", "")
        store = SqlStore(url, clock=self.clock, group_commit_seconds=0)
        self.store = self.run_(self.stack.enter_async_context(store))

    def teardown(self) -> None:
        if hasattr(self, "stack"):
            self.run_(self.stack.aclose())
            self.folder.cleanup()
        super().teardown()


proves = pytest.mark.invariant("I10")
TestMemory = proves(LifeCycle.TestCase)
TestMemory.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestSqlite = pytest.mark.slow(proves(SqliteLifeCycle.TestCase))
TestSqlite.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

"""The SMS line as a state machine: whatever fails in whatever order, a message that was answered 2xx is not lost.

The oracle is a ledger of what was answered: acknowledged ham reaches the customer, acknowledged spam is held and does
not unless a person releases it, and nothing that was never sent arrives.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from prometheus_client import CollectorRegistry

from filterd.clock import mint_id
from filterd.core.envelope import MessageId
from filterd.errors import RelayUnavailable, ScanDown, StoreUnavailable
from filterd.metrics import Metrics
from filterd.ports import ForwardRequest
from filterd.store.engine import database_url
from filterd.store.retention import Retention
from filterd.store.sql import SqlStore
from filterd.testing import FakeScanner, FixedClock, MemoryStore
from tests.contract.empty_database import empty_database
from tests.filterd.webhook_line import Line, RecordingForwarder, header

IDS = st.integers(0, 2)
SELDOM = st.sampled_from([False, False, False, True])
TEXTS = {True: "SPAM offer", False: "see you at noon"}
PARTS = ("an off", "er: SP", "AM, now")
KEEP_DAYS = 30
SMS_DAYS = 7
DAY_SECONDS = 86_400
FAILURES = {"": None, "refuses": RelayUnavailable("500"), "times out": TimeoutError("too slow")}


class FlakyForwarder(RecordingForwarder):
    """Delivers, and sometimes loses the answer after it has delivered."""

    def __init__(self) -> None:
        super().__init__()
        self.is_losing_answers = False

    async def forward(self, request: ForwardRequest) -> None:
        await super().forward(request)
        if self.is_losing_answers:
            raise RelayUnavailable("the answer was lost")


class Switched:
    """A store that fails while it is told to."""

    def __init__(self, store: MemoryStore | SqlStore) -> None:
        self.store = store
        self.failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        if self.failure is None:
            return getattr(self.store, name)

        async def fail(*_args: object, **_named: object) -> None:
            assert self.failure is not None
            raise self.failure

        return fail


@dataclass(slots=True)
class Sms:
    """What the model knows of one message of the provider."""

    is_spam: bool
    since: float
    """When the provider first called, in the clock's seconds."""
    is_acked: bool = False


class SmsLine(RuleBasedStateMachine):
    """Calls, repeats, failures and time, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.forwarder = FlakyForwarder()
        self.clock = FixedClock()
        self.scanner = FakeScanner()
        self.metrics = Metrics(CollectorRegistry())
        self.week = 0
        """A provider does not repeat a message of another week."""
        self.sent: dict[str, Sms] = {}
        self.released: dict[str, str] = {}
        """Our id -> text of what a person released."""
        self.parts: dict[str, set[int]] = {}
        """Reference -> parts that were answered 2xx."""
        self.has_faults = False
        """Whether anything happened that may cost a second delivery."""

    @initialize()
    def open_(self) -> None:
        self.store = Switched(MemoryStore(self.clock, keep_days=KEEP_DAYS))
        self.start()

    def start(self) -> None:
        self.line = Line(
            forwarder=self.forwarder,
            clock=self.clock,
            scanner=self.scanner,
            metrics=self.metrics,
            store=self.store,
            scan_down="defer",
        )

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(step)

    def sms(self, number: int, *, is_spam: bool) -> str:
        """The provider's id of a message: its content never changes."""
        id = f"{'spam' if is_spam else 'ham'}-{self.week}-{number}"
        self.sent.setdefault(id, Sms(is_spam, self.clock.monotonic()))
        return id

    @rule(number=IDS, is_spam=st.booleans())
    def send(self, number: int, *, is_spam: bool) -> None:
        """A new call, or the repetition of one."""
        id = self.sms(number, is_spam=is_spam)

        reply = self.run(self.line.call(self.line.sms_call("generic", TEXTS[is_spam], id=id)))

        assert reply.status == (503 if self.store.failure else 200)
        self.sent[id].is_acked |= reply.status == 200

    @rule(number=st.integers(0, 1), part=st.integers(1, 3))
    def send_part(self, number: int, part: int) -> None:
        """One part of a long message that is spam only as a whole."""
        reference = f"long-{self.week}-{number}"
        reply = self.run(self.line.call(self.line.part_call(part, 3, PARTS[part - 1], reference)))

        if reply.status == 200:
            self.parts.setdefault(reference, set()).add(part)

    @rule()
    def send_twice_at_once(self) -> None:
        """The provider does not wait for its first call."""
        id = self.sms(99, is_spam=False)
        call = self.line.sms_call("generic", TEXTS[False], id=id)

        async def both() -> list[Any]:
            return [*await asyncio.gather(self.line.call(call), self.line.call(call))]

        self.sent[id].is_acked |= any(reply.status == 200 for reply in self.run(both()))

    @precondition(lambda self: self.store.failure is None)
    @rule(number=IDS, is_spam=st.booleans())
    def die_once_stored(self, number: int, *, is_spam: bool) -> None:
        """The process ends behind the commit: the provider hears nothing, and may or may not repeat itself."""
        id = self.sms(number, is_spam=is_spam)
        call = self.line.sms_call("generic", TEXTS[is_spam], id=id)
        adapter = self.line.webhooks.adapter("generic")
        assert adapter is not None
        for part in adapter.parse(call, self.clock.now()):
            self.run(self.store.receive(part, mint_id(self.clock)))
        self.restart()

    @rule()
    def restart(self) -> None:
        """What was only in memory is gone."""
        self.start()

    @rule()
    def work(self) -> None:
        """The background worker has its turn."""
        if self.store.failure is None:
            self.run(self.line.work_all())

    @precondition(lambda self: self.store.failure is None)
    @rule()
    def worker_dies(self) -> None:
        """It had leased everything that was due."""
        self.run(self.store.claim_work(limit=100, lease_seconds=90))

    @rule(seconds=st.sampled_from([1, 20, 65, 4_000]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.store.failure is None)
    @rule(days=st.sampled_from([SMS_DAYS + 1, SMS_DAYS + 1, SMS_DAYS + 1, KEEP_DAYS + 1]))
    def days_pass(self, days: int) -> None:
        """What is done and old is forgotten; what is not done, or waits for a person, is not."""
        self.clock.advance(days * DAY_SECONDS)
        self.week += 1
        self.run(self.store.purge(self.clock.now()))

    @precondition(lambda self: self.store.failure is None)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """A person lets a held message go after all."""
        held = [summary.id for summary in self.run(self.store.list_held(limit=200))]
        if not held:
            return
        self._release(data.draw(st.sampled_from(held)))

    def _release(self, id: MessageId) -> None:
        message = self.run(self.store.claim_release(id, "ann", 300))
        self.run(self.store.decided(message.envelope.id, forward=True))
        self.run(self.store.finish_release(id, "ann", delivered=True))
        self.released[message.envelope.id] = message.raw.decode()

    @rule(is_down=SELDOM)
    def scanner_changes(self, *, is_down: bool) -> None:
        self.scanner.failure = ScanDown() if is_down else None

    @rule(is_down=SELDOM)
    def store_changes(self, *, is_down: bool) -> None:
        self.store.failure = StoreUnavailable("down") if is_down else None

    @rule(failure=st.sampled_from(sorted(FAILURES)), is_losing_answers=st.booleans())
    def customer_changes(self, failure: str, *, is_losing_answers: bool) -> None:
        self.forwarder.failure = FAILURES[failure]
        self.forwarder.is_losing_answers = is_losing_answers
        self.has_faults |= is_losing_answers

    def delivered(self) -> Counter[str]:
        return Counter(json.loads(request.body)["id"] for request in self.forwarder.sent)

    @invariant()
    def nothing_arrives_that_should_not(self) -> None:
        """Spam only when released, what was never sent not at all, nothing twice unless an answer was lost."""
        delivered = self.delivered()
        for request in self.forwarder.sent:
            id, ours = json.loads(request.body)["id"], header(request, "x-filterd-id")
            is_spam = ours in self.released
            assert is_spam or id.startswith("long") or not self.sent[id].is_spam
            # I9: what the customer is told was decided about this very message; nothing once that is forgotten.
            assert header(request, "x-filterd-verdict") in {"", "quarantine" if is_spam else "accept"}
        assert {id for id in delivered if not id.startswith("long")} <= set(self.sent)
        if not self.has_faults:
            assert all(count == 1 for count in delivered.values())

    def teardown(self) -> None:
        """Everything works again: in the end every acknowledged message is where it belongs."""
        try:
            if hasattr(self, "store"):
                self.settle()
        finally:
            self.close()
            self.loop.close()

    def settle(self) -> None:
        self.store.failure = self.scanner.failure = self.forwarder.failure = None
        self.forwarder.is_losing_answers = False
        for _ in range(4):
            self.clock.advance(4_000)
            self.run(self.line.work_all())
        held = self.run(self.store.list_held(limit=200))
        raws = [self.run(self.store.held(summary.id)).raw.decode() for summary in held]
        self._check_whole_messages(raws)
        self._check_parts(raws)
        # I10: whatever is held can still be let go, however long it was held.
        for summary in held:
            self._release(summary.id)
        self.run(self.line.work_all())
        assert set(self.released) <= {header(request, "x-filterd-id") for request in self.forwarder.sent}

    def _check_whole_messages(self, raws: list[str]) -> None:
        ham = {id for id, sms in self.sent.items() if sms.is_acked and not sms.is_spam}
        spam = [sms for sms in self.sent.values() if sms.is_spam]
        kept = [sms for sms in spam if sms.is_acked and self._age(sms) <= KEEP_DAYS * DAY_SECONDS]

        assert ham <= set(self.delivered())
        assert len(kept) <= raws.count(TEXTS[True]) + list(self.released.values()).count(TEXTS[True]) <= len(spam)

    def _check_parts(self, raws: list[str]) -> None:
        """A part that was acknowledged this week is with the customer, or in a message that is held."""
        for reference, parts in self.parts.items():
            for part in parts if reference.startswith(f"long-{self.week}-") else ():
                is_held = any(PARTS[part - 1] in raw for raw in raws)
                assert is_held or f"{reference}-{part}" in self.delivered()

    def _age(self, sms: Sms) -> float:
        return self.clock.monotonic() - sms.since

    def close(self) -> None:
        """Nothing to close."""


class LongSmsLine(SmsLine):
    """The same for longer."""


class SqliteSmsLine(SmsLine):
    """The same on a database, which a restart opens again; decided SMS are kept for less time than held ones."""

    @initialize()
    def open_(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "s.db"
        self.path.write_bytes(empty_database())
        self.stack = AsyncExitStack()
        self.run(self._connect())
        self.start()

    async def _connect(self) -> None:
        url, keep = database_url(f"sqlite:///{self.path}", ""), Retention(quarantine_days=KEEP_DAYS, sms_days=SMS_DAYS)
        store = SqlStore(url, clock=self.clock, keep=keep, group_commit_seconds=0)
        failure = self.store.failure if hasattr(self, "store") else None
        self.store = Switched(await self.stack.enter_async_context(store))
        self.store.failure = failure

    @rule()
    def restart(self) -> None:
        self.run(self.stack.aclose())
        self.run(self._connect())
        self.start()

    def close(self) -> None:
        if hasattr(self, "stack"):
            self.run(self.stack.aclose())
            self.folder.cleanup()


proves = pytest.mark.invariant("I1", "I3", "I9", "I10")
# Shrinking takes minutes, and a list of steps is read easily as it is.
FOUND_AS_IT_IS = [Phase.explicit, Phase.reuse, Phase.generate]
TestSmsLine = proves(SmsLine.TestCase)
TestSmsLine.settings = settings(max_examples=25, stateful_step_count=30, phases=FOUND_AS_IT_IS)
TestLongSmsLine = pytest.mark.long(proves(LongSmsLine.TestCase))
TestLongSmsLine.settings = settings(max_examples=200, stateful_step_count=50, phases=FOUND_AS_IT_IS)
TestSqliteSmsLine = pytest.mark.slow(proves(SqliteSmsLine.TestCase))
TestSqliteSmsLine.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    phases=FOUND_AS_IT_IS,
    suppress_health_check=[HealthCheck.too_slow],
)

"""The SMS line as a state machine: whatever fails in whatever order, a message that was answered 2xx is not lost.

The oracle is a ledger of what was answered: acked ham reaches the customer, acked spam is held and does not, and
nothing that was never sent arrives.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from filterd.errors import RelayUnavailable, ScanDown, StoreUnavailable
from filterd.ports import ForwardRequest
from tests.filterd.webhook_line import Line, RecordingForwarder

IDS = st.integers(0, 5)
TEXTS = {True: "SPAM offer", False: "see you at noon"}
PARTS = ("an off", "er: SP", "AM, now")


class FlakyForwarder(RecordingForwarder):
    """Delivers, and sometimes loses the answer after it has delivered."""

    def __init__(self) -> None:
        super().__init__()
        self.is_losing_answers = False

    async def forward(self, request: ForwardRequest) -> None:
        await super().forward(request)
        if self.is_losing_answers:
            raise RelayUnavailable("the answer was lost")


class SmsLine(RuleBasedStateMachine):
    """Calls, repeats, failures and time, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.forwarder = FlakyForwarder()
        self.line = Line(forwarder=self.forwarder, scan_down="defer")
        self.loop = asyncio.new_event_loop()
        self.acked: dict[str, bool] = {}
        """Message id -> whether it is spam; answered 2xx at least once."""
        self.parts: dict[str, set[int]] = {}
        """Reference -> parts that were answered 2xx."""
        self.has_faults = False
        """Whether anything happened that may cost a second delivery."""

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(step)

    @rule(number=IDS, is_spam=st.booleans())
    def send(self, number: int, *, is_spam: bool) -> None:
        """A new call, or the repetition of one: the content of an id never changes."""
        id = f"{'spam' if is_spam else 'ham'}-{number}"

        reply = self.run(self.line.call(self.line.sms_call("generic", TEXTS[is_spam], id=id)))

        assert reply.status == (503 if self.line.store.failure else 200)
        if reply.status == 200:
            self.acked[id] = is_spam

    @rule(number=st.integers(0, 1), part=st.integers(1, 3))
    def send_part(self, number: int, part: int) -> None:
        """One part of a long message that is spam only as a whole."""
        reply = self.run(self.line.call(self.line.part_call(part, 3, PARTS[part - 1], f"long-{number}")))

        if reply.status == 200:
            self.parts.setdefault(f"long-{number}", set()).add(part)

    @rule()
    def send_twice_at_once(self) -> None:
        """The provider does not wait for its first call."""
        call = self.line.sms_call("generic", TEXTS[False], id="ham-twice")

        async def both() -> list[Any]:
            return [*await asyncio.gather(self.line.call(call), self.line.call(call))]

        if any(reply.status == 200 for reply in self.run(both())):
            self.acked["ham-twice"] = False

    @rule()
    def work(self) -> None:
        """The background worker has its turn."""
        if self.line.store.failure is None:
            self.run(self.line.work_all())

    @rule(seconds=st.sampled_from([1, 20, 65, 4_000]))
    def wait(self, seconds: int) -> None:
        self.line.clock.advance(seconds)

    @rule(is_down=st.booleans())
    def scanner_changes(self, *, is_down: bool) -> None:
        self.line.scanner.failure = ScanDown() if is_down else None

    @rule(is_down=st.booleans())
    def store_changes(self, *, is_down: bool) -> None:
        self.line.store.failure = StoreUnavailable("down") if is_down else None

    @rule(is_down=st.booleans(), is_losing_answers=st.booleans())
    def customer_changes(self, *, is_down: bool, is_losing_answers: bool) -> None:
        self.forwarder.failure = RelayUnavailable("down") if is_down else None
        self.forwarder.is_losing_answers = is_losing_answers
        self.has_faults |= is_losing_answers

    @precondition(lambda self: self.line.store.failure is None)
    @rule()
    def worker_dies(self) -> None:
        """It had leased everything that was due."""
        self.run(self.line.store.claim_work(limit=100, lease_seconds=90))

    def delivered(self) -> Counter[str]:
        return Counter(json.loads(request.body)["id"] for request in self.forwarder.sent)

    @invariant()
    def nothing_arrives_that_should_not(self) -> None:
        """Spam never arrives, nor what was not acknowledged; and nothing twice unless an answer was lost."""
        delivered = self.delivered()
        ham = {id for id, is_spam in self.acked.items() if not is_spam}
        assert {id for id in delivered if not id.startswith("long")} <= ham
        if not self.has_faults:
            assert all(count == 1 for count in delivered.values())

    def teardown(self) -> None:
        """Everything works again: in the end every acknowledged message is where it belongs."""
        self.line.store.failure = self.line.scanner.failure = self.forwarder.failure = None
        self.forwarder.is_losing_answers = False
        for _ in range(4):
            self.line.clock.advance(4_000)
            self.run(self.line.work_all())
        delivered = self.delivered()
        held = self.run(self.line.store.list_held(limit=200))
        raws = [self.run(self.line.store.held(summary.id)).raw.decode() for summary in held]
        self.loop.close()

        assert {id for id, is_spam in self.acked.items() if not is_spam} <= set(delivered)
        assert raws.count(TEXTS[True]) == sum(self.acked.values())
        for reference, parts in self.parts.items():
            for part in parts:
                is_held = any(PARTS[part - 1] in raw for raw in raws)
                assert is_held or f"{reference}-{part}" in delivered


TestSmsLine = SmsLine.TestCase
TestSmsLine.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)

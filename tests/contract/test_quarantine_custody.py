"""Custody of held mail as a state machine: people release and delete, the next hop does as it likes, time passes.

A held message leaves only by a delivery that the next hop confirmed, by a person's deletion, or by its declared days;
and it goes out no more often than once and once for every fault that left it open whether it had gone. Who reaches
only one of its recipients acts for that one: the message is split, and every recipient is in one of its parts.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from prometheus_client import CollectorRegistry
from sqlalchemy import text

from filterd.core.access import Reach
from filterd.core.envelope import Envelope, MessageId
from filterd.core.headers import Stamp, find_release
from filterd.core.verdict import Action, Decision, Reason, Reply
from filterd.errors import RelayAmbiguous, RelayUnavailable, StoreUnavailable, UsageError
from filterd.log import AddressMask, Events
from filterd.metrics import Metrics
from filterd.release import LEASE_SECONDS, Released, Releaser
from filterd.store.engine import database_url
from filterd.store.retention import Retention
from filterd.store.sql import SqlStore
from filterd.testing import FixedClock, MemoryStore, a_scan, an_envelope
from tests.contract.empty_database import empty_database

HOLD = Decision(action=Action.QUARANTINE, reason=Reason.SPAM, scan=a_scan(0.97))
STAMP = Stamp(hostname="mx.example.org", release_key=b"key")
KEEP_DAYS = 30
DAY_SECONDS = 86_400
PEOPLE = st.sampled_from(["ann", "bob"])
BOB, EVE = "bob@example.net", "eve@example.org"
RECIPIENTS = st.sampled_from([(BOB,), (BOB, EVE)])
REACHES = st.sampled_from([BOB, EVE])
DESKS = st.integers(0, 1)
PLANS = st.sampled_from(["takes", "refuses", "defers", "is down", "is silent", "takes, and the books fail"])
MOST_MESSAGES = 2
"""Few, so that much happens to each."""
VISIBLE = ("held", "releasing")

T = TypeVar("T")


class Hop:
    """A next hop that does as planned, at once or when it is told to."""

    def __init__(self) -> None:
        self.plan = "takes"
        self.is_hanging = False
        self.hanging: list[asyncio.Future[str]] = []
        self.got: list[tuple[frozenset[str], bytes]] = []
        self.books_fail = False

    async def send(self, envelope: Envelope, raw: bytes) -> Reply:
        plan = self.plan
        if self.is_hanging:
            self.hanging.append(asyncio.get_running_loop().create_future())
            plan = await self.hanging[-1]
        if plan == "is down":
            raise RelayUnavailable("down")
        if plan in ("refuses", "defers"):
            return Reply(code=550 if plan == "refuses" else 451, lines=("no",))
        self.got.append((frozenset(recipient.address for recipient in envelope.recipients), raw))
        if plan == "is silent":
            raise RelayAmbiguous("silent")
        self.books_fail = plan == "takes, and the books fail"
        return Reply(code=250, lines=("Ok",))


class Books:
    """A quarantine that cannot write down the end of one release."""

    def __init__(self, store: MemoryStore | SqlStore, hop: Hop) -> None:
        self._store = store
        self._hop = hop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def finish_release(self, id: MessageId, by: str, *, delivered: bool) -> None:
        fails, self._hop.books_fail = self._hop.books_fail, False
        if fails:
            raise StoreUnavailable("gone")
        await self._store.finish_release(id, by, delivered=delivered)


@dataclass
class Item:
    """What the model knows of one message, or of one part of it."""

    id: MessageId
    raw: bytes
    received_at: float
    recipients: frozenset[str]
    names: tuple[MessageId, ...] = ()
    """Ids it had before it was split off."""
    state: str = "held"
    lease_until: float = 0.0
    copies: int = 0
    faults: int = 0
    """What left it open whether it had gone: silence, books that fail, a claim over one that never ended."""


@dataclass
class Flight:
    """A release that the next hop has not answered."""

    item: Item
    task: asyncio.Task[Released]
    answer: asyncio.Future[str]
    lease_until: float
    to: frozenset[str]


class QuarantineCustody(RuleBasedStateMachine):
    """Two processes at one store, two people, and a next hop."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FixedClock()
        self.hop = Hop()
        self.metrics = Metrics(CollectorRegistry())
        log = structlog.wrap_logger(None, processors=[structlog.testing.LogCapture()])
        self.events = Events(log, AddressMask(b"key"))
        self.items: list[Item] = []
        self.messages = 0
        self.flights: list[Flight] = []
        self.acts: Counter[str] = Counter()

    def do(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return self.runner.run(awaited())

    @initialize()
    def open_(self) -> None:
        memory = MemoryStore(self.clock, keep_days=KEEP_DAYS)
        self.stores: list[Any] = [memory, memory]

    def teardown(self) -> None:
        self._die()
        self.runner.close()

    def releaser(self, desk: int) -> Releaser:
        store = self.stores[desk]
        return Releaser(
            quarantine=Books(store, self.hop),
            ledger=store,
            inbox=store,
            relay=self.hop,
            stamp=lambda: STAMP,
            clock=self.clock,
            metrics=self.metrics,
            events=self.events,
        )

    # --- what people and the next hop do

    @precondition(lambda self: self.messages < MOST_MESSAGES)
    @rule(recipients=RECIPIENTS)
    def hold(self, recipients: tuple[str, ...]) -> None:
        self.messages = number = self.messages + 1
        id, raw = MessageId(f"{number << 80:032x}"), b"Subject: %d\r\n\r\n.\r\n" % number
        item = Item(id, raw, self._now(), frozenset(recipients))
        envelope = an_envelope("alice@example.org", *recipients, id=id)
        self.do(self.stores[0].hold(_at(envelope, self.clock), item.raw, HOLD))
        self.items.append(item)

    @precondition(lambda self: self.items)
    @rule(data=st.data(), by=PEOPLE, desk=DESKS, plan=PLANS)
    def release(self, data: st.DataObject, by: str, desk: int, plan: str) -> None:
        item = data.draw(st.sampled_from(self.items))
        self.hop.plan = plan
        work = self.releaser(desk).release(item.id, by, label_ham=False)
        if not self._claim(item):
            self._refused(work)
            return
        self._ended(item, plan, work, item.lease_until)

    @precondition(lambda self: self.items)
    @rule(data=st.data(), address=REACHES, desk=DESKS, plan=PLANS)
    def release_own(self, data: st.DataObject, address: str, desk: int, plan: str) -> None:
        named = data.draw(st.sampled_from(self.items))
        self.hop.plan = plan
        reach = Reach(addresses=frozenset({address}))
        work = self.releaser(desk).release(named.id, address, label_ham=False, reach=reach)
        item = self._own(named, address)
        if item is None or not self._claim(item):
            self._refused(work)
            return
        self._ended(item, plan, work, item.lease_until)

    @precondition(lambda self: self.items)
    @rule(data=st.data(), address=REACHES, desk=DESKS)
    def delete_own(self, data: st.DataObject, address: str, desk: int) -> None:
        named = data.draw(st.sampled_from(self.items))
        work = self.stores[desk].delete_held(named.id, address, Reach(addresses=frozenset({address})))
        item = self._own(named, address)
        if item is None or not self._is_free(item):
            self._refused(work)
            return
        self.do(work)
        item.state = "deleted"
        self.acts["deleted"] += 1

    @precondition(lambda self: any(self._is_free(item) for item in self.items))
    @rule(data=st.data(), by=PEOPLE, plan=PLANS)
    def release_twice_at_once(self, data: st.DataObject, by: str, plan: str) -> None:
        item = data.draw(st.sampled_from([item for item in self.items if self._is_free(item)]))
        self.hop.plan = plan
        both = [self.releaser(desk).release(item.id, by, label_ham=False) for desk in (0, 1)]
        self.hop.is_hanging = True
        tasks = self.do(self._started(*both))
        self.hop.is_hanging = False
        refused = [task for task in tasks if task.done()]

        assert len(refused) == 1
        assert isinstance(refused[0].exception(), UsageError)
        assert self._claim(item)
        (task,) = (task for task in tasks if not task.done())
        self.hop.hanging.pop().set_result(plan)
        self._ended(item, plan, task, item.lease_until)

    @precondition(lambda self: any(self._is_free(item) for item in self.items))
    @rule(data=st.data(), by=PEOPLE, desk=DESKS)
    def release_hangs(self, data: st.DataObject, by: str, desk: int) -> None:
        item = data.draw(st.sampled_from([item for item in self.items if self._is_free(item)]))
        self.hop.is_hanging = True
        (task,) = self.do(self._started(self.releaser(desk).release(item.id, by, label_ham=False)))
        self.hop.is_hanging = False
        assert self._claim(item)
        self.flights.append(Flight(item, task, self.hop.hanging.pop(), item.lease_until, item.recipients))

    async def _started(self, *releases: Coroutine[Any, Any, Released]) -> list[asyncio.Task[Released]]:
        """Releases that wait for the next hop, or have been refused."""
        tasks = [asyncio.create_task(each) for each in releases]
        while len(self.hop.hanging) + sum(task.done() for task in tasks) < len(tasks):  # noqa: ASYNC110  # either of two kinds of event
            await asyncio.sleep(0.0005)
        return tasks

    @precondition(lambda self: self.flights)
    @rule(data=st.data(), plan=PLANS)
    def next_hop_answers_late(self, data: st.DataObject, plan: str) -> None:
        flight = self.flights.pop(data.draw(st.integers(0, len(self.flights) - 1)))
        flight.answer.set_result(plan)
        self._ended(flight.item, plan, flight.task, flight.lease_until, flight.to)

    @precondition(lambda self: self.items)
    @rule(data=st.data(), by=PEOPLE, desk=DESKS)
    def delete(self, data: st.DataObject, by: str, desk: int) -> None:
        item = data.draw(st.sampled_from(self.items))
        work = self.stores[desk].delete_held(item.id, by)
        if not self._is_free(item):
            self._refused(work)
            return
        self.do(work)
        item.state = "deleted"
        self.acts["deleted"] += 1

    @rule()
    def lease_ends(self) -> None:
        self.clock.advance(LEASE_SECONDS + 1)

    @rule(seconds=st.sampled_from([60, DAY_SECONDS]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def reap(self) -> None:
        self.do(self.stores[0].reap())
        for item in self.items:
            if item.state == "releasing" and item.lease_until < self._now():
                item.state = "held"

    @rule(days=st.sampled_from([0, KEEP_DAYS + 1]))
    def purge(self, days: int) -> None:
        self.clock.advance(days * DAY_SECONDS)
        self.do(self.stores[1].purge(self.clock.now()))
        for item in self.items:
            if item.state != "releasing" and self._now() - item.received_at > KEEP_DAYS * DAY_SECONDS:
                item.state = "expired"

    @rule()
    def restart(self) -> None:
        """Both processes die with what they had in hand."""
        self._die()

    def _die(self) -> None:
        tasks = [flight.task for flight in self.flights]
        self.flights.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            self.do(asyncio.gather(*tasks, return_exceptions=True))

    # --- the model

    def _now(self) -> float:
        return self.clock.monotonic()

    def _is_free(self, item: Item) -> bool:
        return item.state == "held" or (item.state == "releasing" and item.lease_until < self._now())

    def _own(self, named: Item, address: str) -> Item | None:
        """What somebody with this address means by that id, split off where others are to be left alone."""
        here = [item for item in self.items if item.state != "expired"]
        parts = [named, *(item for item in here if item.raw == named.raw)] if named in here else []
        item = next((part for part in parts if address in part.recipients), None)
        if item is None or not self._is_free(item) or len(item.recipients) == 1:
            return item
        known = sorted(part.id for part in self.items if part.raw == named.raw)
        own = replace(
            item,
            id=MessageId(f"{int(known[0], 16) ^ len(known):032x}"),
            recipients=frozenset({address}),
            names=(*item.names, item.id),
        )
        item.recipients -= own.recipients
        self.items.append(own)
        return own

    def _claim(self, item: Item) -> bool:
        """Whether somebody who asks gets it now."""
        if not self._is_free(item):
            return False
        # Whoever had it before may have sent it, and may still do so.
        is_under_way = any(item.raw == flight.item.raw and item.recipients <= flight.to for flight in self.flights)
        item.faults += item.state == "releasing" or is_under_way
        item.state, item.lease_until = "releasing", self._now() + LEASE_SECONDS
        return True

    def _ended(
        self,
        item: Item,
        plan: str,
        work: Awaitable[Released],
        lease_until: float,
        to: frozenset[str] | None = None,
    ) -> None:
        """The next hop has answered: what the person hears, and where the message is."""
        has_gone = plan.startswith("takes")
        if plan in ("is down", "is silent"):
            with pytest.raises(RelayUnavailable if plan == "is down" else RelayAmbiguous):
                self.do(work)
        else:
            assert self.do(work).delivered is has_gone
        for part in self.items:
            # It went to all that it was for when it set out, whatever was split off since.
            if part.raw == item.raw and part.recipients <= (to or item.recipients):
                part.copies += has_gone or plan == "is silent"
                part.faults += plan in ("is silent", "takes, and the books fail")
        if has_gone and not plan.endswith("fail") and item.state in VISIBLE:
            item.state = "released"
            self.acts["released"] += 1
        elif not has_gone and item.state == "releasing" and item.lease_until == lease_until > self._now():
            item.state = "held"

    def _refused(self, work: Awaitable[object]) -> None:
        with pytest.raises(UsageError):
            self.do(work)

    # --- the books

    @invariant()
    def quarantine_has_what_has_not_left(self) -> None:
        """I10: gone are those released, deleted and expired, and nothing else."""
        if hasattr(self, "stores"):
            shown = self.do(self.stores[1].list_held())
            found = {summary.id: (summary.state.value, frozenset(summary.recipients)) for summary in shown}
            assert found == {item.id: (item.state, item.recipients) for item in self.items if item.state in VISIBLE}

    @invariant()
    def each_recipient_is_in_one_part(self) -> None:
        """I10: splitting neither loses nor doubles anybody."""
        for raw in {item.raw for item in self.items}:
            parts = [item for item in self.items if item.raw == raw]
            everybody = sorted(address for item in parts for address in item.recipients)
            assert everybody in ([BOB], [BOB, EVE])
            for item in parts:
                if item.state in VISIBLE:
                    envelope = self.do(self.stores[0].held(item.id)).envelope
                    assert {recipient.address for recipient in envelope.recipients} == item.recipients

    @invariant()
    def next_hop_has_each_message_as_often_as_it_may(self) -> None:
        """I3, I4: the octets that were held behind one line of ours, once and once for every fault."""
        for item in self.items:
            copies = [raw for to, raw in self.hop.got if raw.endswith(item.raw) and item.recipients <= to]
            assert len(copies) == item.copies <= 1 + item.faults
            assert item.copies or item.state != "released"
            assert all(find_release(raw, STAMP) in {item.id, *item.names} for raw in copies)
            assert all(raw.removesuffix(item.raw).count(b"\r\n") == 1 for raw in copies)


def _at(envelope: Envelope, clock: FixedClock) -> Envelope:
    """The envelope as received now."""
    return Envelope(
        id=envelope.id,
        channel=envelope.channel,
        sender=envelope.sender,
        recipients=envelope.recipients,
        received_at=clock.now(),
        peer=envelope.peer,
    )


class SqliteQuarantineCustody(QuarantineCustody):
    """The same on a database that two processes have open, with its record of who did what."""

    @initialize()
    def open_(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "s.db"
        self.path.write_bytes(empty_database())
        self.do(self._connect())

    async def _connect(self) -> None:
        self.stack = AsyncExitStack()
        url, keep = database_url(f"sqlite:///{self.path}", ""), Retention(quarantine_days=KEEP_DAYS)
        self.stores = [
            await self.stack.enter_async_context(SqlStore(url, clock=self.clock, keep=keep, group_commit_seconds=0))
            for _ in range(2)
        ]

    @rule()
    def restart(self) -> None:
        self._die()
        self.do(self.stack.aclose())
        self.do(self._connect())

    @invariant()
    def every_act_is_written_down(self) -> None:
        """I10: who released or deleted what stands in the audit table."""
        if hasattr(self, "stores"):
            rows = self.do(self.stores[0]._read(lambda c: c.execute(text("SELECT event FROM audit")).all()))
            assert Counter(event for (event,) in rows) == self.acts

    def teardown(self) -> None:
        self._die()
        if hasattr(self, "stack"):
            self.do(self.stack.aclose())
            self.folder.cleanup()
        self.runner.close()


proves = pytest.mark.invariant("I1", "I3", "I4", "I10")
TestQuarantineCustody = proves(QuarantineCustody.TestCase)
TestQuarantineCustody.settings = settings(max_examples=30, stateful_step_count=30)
TestSqliteQuarantineCustody = pytest.mark.slow(proves(SqliteQuarantineCustody.TestCase))
TestSqliteQuarantineCustody.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes on a disk
    suppress_health_check=[HealthCheck.too_slow],
)

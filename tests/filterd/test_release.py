"""A released message goes out as it was stored, once, and comes back to the quarantine when it is not taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from filterd.core.envelope import Channel, Envelope, MessageId
from filterd.core.headers import Stamp, find_release
from filterd.core.verdict import Action, Decision, Label, Reason, Reply
from filterd.errors import NotFound, RelayAmbiguous, RelayUnavailable, StoreUnavailable, UsageError
from filterd.log import AddressMask, Events, get_logger
from filterd.metrics import Metrics
from filterd.ports import HeldState, SmsPart
from filterd.release import LEASE_SECONDS, Releaser
from filterd.testing import FixedClock, MemoryStore, RecordingRelay, a_scan, an_envelope

RAW = b" folded first line\r\nSubject: x\r\n\r\nbody \x00\xff\r\n.dot\r\n"
HOLD = Decision(action=Action.QUARANTINE, reason=Reason.SPAM, scan=a_scan(0.97))
ID = MessageId("0" * 31 + "1")
STAMP = Stamp(hostname="mx.example.org", release_key=b"key")


@dataclass
class Desk:
    """A releaser and what it works on."""

    relay: RecordingRelay = field(default_factory=RecordingRelay)
    clock: FixedClock = field(default_factory=FixedClock)
    store: MemoryStore = field(init=False)
    metrics: Metrics = field(default_factory=lambda: Metrics(CollectorRegistry()))
    is_apart: bool = False

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)

    @property
    def releaser(self) -> Releaser:
        return Releaser(
            quarantine=self.store,
            ledger=self.store,
            inbox=self.store,
            relay=self.relay,
            stamp=lambda: STAMP,
            clock=self.clock,
            metrics=self.metrics,
            events=Events(get_logger(), AddressMask(b"key")),
            is_apart=self.is_apart,
        )

    async def state(self) -> HeldState:
        return (await self.store.held(ID)).summary.state


@pytest.fixture
async def desk() -> Desk:
    desk = Desk()
    await desk.store.hold(an_envelope("alice@example.org", "bob@example.net", "eve@example.net"), RAW, HOLD)
    return desk


async def test_released_message_is_the_stored_octets_behind_one_line(desk: Desk) -> None:
    released = await desk.releaser.release(ID, "ann", label_ham=False)

    ((envelope, sent),) = desk.relay.sent
    assert released.delivered
    assert sent.endswith(RAW)
    assert sent.removesuffix(RAW).count(b"\r\n") == 1
    assert find_release(sent, STAMP) == ID
    assert envelope == (await desk.store.held(ID)).envelope
    assert await desk.state() is HeldState.RELEASED
    assert desk.metrics.releases._value.get() == 1


async def test_released_message_is_not_released_again(desk: Desk) -> None:
    await desk.releaser.release(ID, "ann", label_ham=False)

    with pytest.raises(UsageError):
        await desk.releaser.release(ID, "bob", label_ham=False)
    assert len(desk.relay.sent) == 1


@pytest.mark.parametrize("code", [451, 550])
async def test_refused_message_is_held_again_and_the_reply_is_told(desk: Desk, code: int) -> None:
    desk.relay.reply = Reply(code=code, lines=("No such user",))
    released = await desk.releaser.release(ID, "ann", label_ham=True)

    assert not released.delivered
    assert released.reply.lines == ("No such user",)
    assert await desk.state() is HeldState.HELD
    assert desk.metrics.releases._value.get() == 0
    assert desk.metrics.feedback.labels("ham")._value.get() == 0


@pytest.mark.parametrize("error", [RelayUnavailable("down"), RelayAmbiguous("silent")], ids=["down", "silent"])
async def test_message_the_next_hop_did_not_answer_for_is_held_again(desk: Desk, error: Exception) -> None:
    desk.relay.reply = error
    with pytest.raises(type(error)):
        await desk.releaser.release(ID, "ann", label_ham=False)

    assert await desk.state() is HeldState.HELD


async def test_ham_label_is_added_when_asked_for(desk: Desk) -> None:
    await desk.releaser.release(ID, "ann", label_ham=True)

    assert [(f.label, f.reporter, f.origin) for f in desk.store.ledger.standing()] == [(Label.HAM, "ann", "release")]


async def test_delivered_message_counts_as_released_though_the_store_fails_then(desk: Desk) -> None:
    class Failing(RecordingRelay):
        async def send(self, envelope: Envelope, raw: bytes) -> Reply:
            reply = await super().send(envelope, raw)
            desk.store.failure = StoreUnavailable("gone")
            return reply

    desk.relay = Failing()

    assert (await desk.releaser.release(ID, "ann", label_ham=False)).delivered


class Slow(RecordingRelay):
    """Answers when the lease has long ended; ``meanwhile`` happens before."""

    def __init__(self, desk: Desk, meanwhile: Callable[[], Awaitable[object]]) -> None:
        super().__init__(desk.relay.reply)
        self._desk = desk
        self._meanwhile = meanwhile

    async def send(self, envelope: Envelope, raw: bytes) -> Reply:
        reply = await super().send(envelope, raw)
        self._desk.clock.advance(LEASE_SECONDS + 1)
        await self._meanwhile()
        return reply


@pytest.mark.invariant("I10")
async def test_release_that_outlasts_its_lease_says_what_the_next_hop_said(desk: Desk) -> None:
    """Somebody else has deleted the message meanwhile: it was delivered all the same."""
    desk.relay = Slow(desk, lambda: desk.store.delete_held(ID, "bob"))

    assert (await desk.releaser.release(ID, "ann", label_ham=False)).delivered


@pytest.mark.invariant("I3")
async def test_release_that_fails_after_its_lease_leaves_the_next_one_alone(desk: Desk) -> None:
    """The same person tries again, while the first attempt still waits: its end must not free the message."""
    desk.relay.reply = Reply(code=451, lines=("Later",))
    desk.relay = Slow(desk, lambda: desk.store.claim_release(ID, "ann", LEASE_SECONDS))

    released = await desk.releaser.release(ID, "ann", label_ham=False)

    assert not released.delivered
    assert await desk.state() is HeldState.RELEASING
    with pytest.raises(UsageError):
        await desk.releaser.release(ID, "bob", label_ham=False)


async def test_unknown_message_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFound):
        await desk.releaser.release(MessageId("f" * 32), "ann", label_ham=False)


async def test_released_sms_is_queued_for_the_customer() -> None:
    desk = Desk()
    part = SmsPart(
        provider="twilio",
        provider_id="a",
        sender="+15550001",
        recipient="+15550002",
        text="hi",
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        payload=b"Body=hi",
        content_type="application/x-www-form-urlencoded",
    )
    await desk.store.receive(part, ID)
    await desk.store.hold(an_envelope("+15550001", "+15550002", channel=Channel.SMS), b"hi", HOLD)
    await desk.store.decided(ID, forward=False)

    released = await desk.releaser.release(ID, "ann", label_ham=False)

    assert released.delivered
    assert desk.relay.sent == []
    ((message, is_forward),) = await desk.store.claim_work(limit=10, lease_seconds=60)
    assert (message.id, is_forward) == (ID, True)


def _only_bob(envelope: Envelope) -> Reply:
    """What a next hop says to whom: Eve is over quota, and who is named with her has nothing."""
    has_eve = any(recipient.address.startswith("eve") for recipient in envelope.recipients)
    return Reply(code=452 if has_eve else 250, lines=("full" if has_eve else "saved",))


async def test_release_over_lmtp_reaches_whom_it_can_and_holds_the_rest(desk: Desk) -> None:
    """Who is over quota keeps nobody's mail back, and nobody gets a second copy when it is released again."""
    desk.is_apart, desk.relay.reply = True, _only_bob
    released = await desk.releaser.release(ID, "ann", label_ham=True)

    assert (released.delivered, released.reply.code) == (False, 452)
    assert [[r.address for r in envelope.recipients] for envelope, _ in desk.relay.sent] == [["bob@example.net"]]
    held = [row for row in await desk.store.list_held() if row.state is HeldState.HELD]
    assert [row.recipients for row in held] == [("eve@example.net",)]
    assert desk.store.ledger.standing() == []

    desk.relay.reply = Reply(code=250)
    assert (await desk.releaser.release(held[0].id, "ann", label_ham=True)).delivered
    assert [[r.address for r in envelope.recipients] for envelope, _ in desk.relay.sent] == [
        ["bob@example.net"],
        ["eve@example.net"],
    ]
    assert [given.label for given in desk.store.ledger.standing()] == [Label.HAM]


async def test_release_over_lmtp_for_all_is_one_label(desk: Desk) -> None:
    """A transaction for each, and one opinion of who released it."""
    desk.is_apart = True
    released = await desk.releaser.release(ID, "ann", label_ham=True)

    assert released.delivered
    assert len(desk.relay.sent) == 2
    assert [(given.label, given.recipient) for given in desk.store.ledger.standing()] == [(Label.HAM, "")]
    assert [row for row in await desk.store.list_held() if row.state is HeldState.HELD] == []

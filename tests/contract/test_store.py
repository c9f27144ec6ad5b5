"""What every store does, whatever it is made of."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from filterd.account_ports import Scope, Token
from filterd.core.envelope import Channel, Envelope, Recipient
from filterd.core.verdict import (
    Action,
    Decision,
    Reason,
)
from filterd.errors import NotFound, UsageError
from filterd.ports import Arrival, HeldState, SmsPart
from filterd.testing import FixedClock
from tests.contract.stores import HOLD, RAW, Store, envelope, label, nth, sms_envelope, verdict

# Verdicts


async def test_recorded_verdict_comes_back(store: Store, other: Store) -> None:
    message = envelope(1, "alice@example.org", "bob@example.net", "eve@example.net")
    await store.record(verdict(message))

    (row,) = await other.verdicts(nth(1))
    assert row.id == nth(1)
    assert row.recipients == ("bob@example.net", "eve@example.net")
    assert (row.action, row.reason, row.outcome, row.reply_code) == (Action.QUARANTINE, Reason.SPAM, "relayed", 250)
    assert (row.probability, row.threshold, row.elapsed_seconds) == (0.97, 0.9, 0.25)
    assert row.received_at == message.received_at


async def test_verdict_recorded_again_is_replaced(store: Store) -> None:
    await store.record(verdict(envelope(1)))
    await store.record(verdict(envelope(1), Decision(action=Action.ACCEPT, reason=Reason.HAM)))

    (row,) = await store.verdicts(nth(1))
    assert (row.action, row.probability) == (Action.ACCEPT, None)


async def test_each_decision_about_a_message_has_its_own_verdict(store: Store) -> None:
    whole = envelope(1, "alice@example.org", "bob@example.net", "eve@example.net")
    await store.record(verdict(whole.only(whole.recipients[:1])))
    await store.record(verdict(whole.only(whole.recipients[1:]), Decision(action=Action.ACCEPT, reason=Reason.HAM)))

    rows = await store.verdicts(nth(1))
    assert {(row.recipients, row.action) for row in rows} == {
        (("bob@example.net",), Action.QUARANTINE),
        (("eve@example.net",), Action.ACCEPT),
    }


async def test_recent_verdicts_are_the_newest_first(store: Store, other: Store) -> None:
    for message in (envelope(2), sms_envelope(3), envelope(1)):
        await store.record(verdict(message))

    assert [row.id for row in await other.recent(limit=2)] == [nth(3), nth(2)]
    assert [row.id for row in await other.recent(channel=Channel.EMAIL)] == [nth(2), nth(1)]


async def test_unknown_verdict_is_not_found(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.verdicts(nth(1))


async def test_verdict_with_text_no_database_can_hold_is_recorded(store: Store) -> None:
    decision = replace(HOLD, detail="nul \0 and \udcff")
    await store.record(verdict(envelope(1, "\udcff\0@example.org", "b\udcff@example.net"), decision))

    (row,) = await store.verdicts(nth(1))
    assert row.recipients == ("b\udcff@example.net",)


# Holding


async def test_held_message_comes_back_octet_for_octet(store: Store, other: Store) -> None:
    message = envelope(1, "al\udcffice@example.org", "bob@example.net", "eve@example.net")
    message = replace(
        message,
        parameters=("BODY=8BITMIME",),
        recipients=(Recipient(address="bob@example.net", parameters=("NOTIFY=NEVER",)), message.recipients[1]),
    )
    await store.hold(message, RAW, HOLD)

    held = await other.held(nth(1))
    assert held.raw == RAW
    assert held.envelope == message
    assert held.summary.state is HeldState.HELD
    assert (held.summary.subject, held.summary.size_bytes) == ("hello", len(RAW))
    assert (held.summary.reason, held.summary.detail, held.summary.probability) == (Reason.SPAM, "lenient", 0.97)


async def test_large_and_empty_bodies_are_held(store: Store) -> None:
    large = bytes(range(256)) * 2_000
    await store.hold(envelope(1), large, HOLD)
    await store.hold(envelope(2), b"", HOLD)

    assert (await store.held(nth(1))).raw == large
    assert (await store.held(nth(2))).raw == b""


async def test_holding_writes_the_verdict_too(store: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD, policy="0123456789ab", is_audit=True)

    (row,) = await store.verdicts(nth(1))
    assert (row.outcome, row.action, row.policy, row.is_audit) == ("held", Action.QUARANTINE, "0123456789ab", True)


async def test_sender_s_retry_updates_instead_of_duplicating(store: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    await store.hold(envelope(2), RAW, HOLD)
    await store.hold(envelope(2), RAW, HOLD)

    assert [s.id for s in await store.list_held()] == [nth(1)]
    assert (await store.held(nth(2))).summary.id == nth(1)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: replace(e, sender="other@example.org"),
        lambda e: replace(e, recipients=(Recipient(address="other@example.net"),)),
        lambda e: replace(e, received_at=e.received_at + timedelta(days=1)),
    ],
    ids=["sender", "recipient", "day"],
)
async def test_other_message_with_the_same_content_is_held_beside_it(
    store: Store, change: Callable[[Envelope], Envelope]
) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    await store.hold(change(envelope(2)), RAW, HOLD)

    assert len(await store.list_held()) == 2


async def test_same_message_after_a_release_is_held_again(store: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    await store.claim_release(nth(1), "ann", 60)
    await store.finish_release(nth(1), "ann", delivered=True)
    await store.hold(envelope(2), RAW, HOLD)

    assert [s.id for s in await store.list_held()] == [nth(2)]


async def test_two_sms_with_the_same_text_are_two_messages(store: Store) -> None:
    await store.hold(sms_envelope(1), b"STOP", HOLD)
    await store.hold(sms_envelope(2), b"STOP", HOLD)
    await store.hold(sms_envelope(2), b"STOP", HOLD)

    assert [s.id for s in await store.list_held()] == [nth(2), nth(1)]


async def test_parts_of_one_message_are_held_apart(store: Store) -> None:
    whole = envelope(1, "alice@example.org", "bob@example.net", "eve@example.net")
    await store.hold(whole.only(whole.recipients[:1]), RAW, HOLD, pending=True)
    await store.hold(whole.only(whole.recipients[1:]), RAW, replace(HOLD, detail="strict"), pending=True)
    await store.settle(nth(1), HeldState.HELD)

    first, second = await store.list_held()
    assert {first.recipients, second.recipients} == {("bob@example.net",), ("eve@example.net",)}
    assert nth(1) in {first.id, second.id}
    assert await store.add_feedback(replace(label(1), message_id=first.id))
    assert not await store.add_feedback(replace(label(1), message_id=second.id))


async def test_attempts_at_the_same_time_are_one_message(store: Store, other: Store) -> None:
    await asyncio.gather(
        *(each.hold(envelope(2 * n + i), RAW, HOLD) for n in range(1, 6) for i, each in enumerate((store, other)))
    )

    assert len(await store.list_held()) == 1
    assert [(await store.held(nth(n))).raw for n in range(2, 12)] == [RAW] * 10


async def test_claims_at_the_same_time_are_won_once(store: Store, other: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    results = await asyncio.gather(
        *(each.claim_release(nth(1), f"person {n}", 60) for n in range(3) for each in (store, other)),
        return_exceptions=True,
    )

    assert sum(not isinstance(result, BaseException) for result in results) == 1
    assert all(isinstance(r, UsageError) for r in results if isinstance(r, BaseException))


# Pending


async def test_pending_message_shows_only_once_settled(store: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD, pending=True)
    assert not await store.list_held()

    await store.settle(nth(1), HeldState.HELD)

    assert [s.state for s in await store.list_held()] == [HeldState.HELD]


async def test_aborted_message_is_gone(store: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD, pending=True)
    await store.settle(nth(1), HeldState.ABORTED)

    assert not await store.list_held()
    with pytest.raises(NotFound):
        await store.held(nth(1))


async def test_settling_a_held_message_changes_nothing(store: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    await store.settle(nth(1), HeldState.ABORTED)

    assert len(await store.list_held()) == 1


@pytest.mark.parametrize("first_to_abort", [1, 2])
async def test_acknowledged_attempt_survives_one_that_failed_at_the_same_time(
    store: Store, first_to_abort: int
) -> None:
    """Two sessions of one sender carry the same message; one of them is told 250, the other 451."""
    await store.hold(envelope(1), RAW, HOLD, pending=True)
    await store.hold(envelope(2), RAW, HOLD, pending=True)
    await store.settle(nth(first_to_abort), HeldState.ABORTED)
    await store.settle(nth(3 - first_to_abort), HeldState.HELD)
    await store.settle(nth(first_to_abort), HeldState.ABORTED)

    assert len(await store.list_held()) == 1


async def test_retry_of_an_aborted_message_is_held(store: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD, pending=True)
    await store.settle(nth(1), HeldState.ABORTED)
    await store.hold(envelope(2), RAW, HOLD)

    assert (await store.held(nth(2))).raw == RAW
    assert len(await store.list_held()) == 1


async def test_message_pending_for_an_hour_becomes_held(store: Store, clock: FixedClock) -> None:
    await store.hold(envelope(1), RAW, HOLD, pending=True)
    clock.advance(3_500)
    assert await store.reap() == 0
    clock.advance(200)

    assert await store.reap() == 1
    (summary,) = await store.list_held()
    assert (summary.state, summary.detail) == (HeldState.HELD, "ack-unknown")


# Listing


async def test_list_is_newest_first_and_pages(store: Store) -> None:
    for n in range(1, 6):
        await store.hold(envelope(n), b"%d" % n, HOLD)

    first = await store.list_held(limit=2)
    rest = await store.list_held(limit=10, before=first[-1].id)
    assert [s.id for s in (*first, *rest)] == [nth(n) for n in (5, 4, 3, 2, 1)]
    assert await store.count_held() == 5


@pytest.mark.parametrize(
    ("query", "found"),
    [("ALICE", [1]), ("bob@", [2, 1]), ("hell", [1]), ("É", [2]), ("100%", [2]), ("%", [2]), ("nobody", [])],
)
async def test_list_finds_parts_of_sender_recipient_and_subject(store: Store, query: str, found: list[int]) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    await store.hold(envelope(2, "carol@example.com"), "Subject: 100% \u00c9clair\r\n\r\n".encode(), HOLD)

    assert [s.id for s in await store.list_held(query=query)] == [nth(n) for n in found]


async def test_list_shows_one_channel(store: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    await store.hold(sms_envelope(2), b"text", HOLD)

    assert [s.id for s in await store.list_held(channel=Channel.SMS)] == [nth(2)]


# Release and deletion


async def test_released_message_leaves_the_list(store: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    claimed = await store.claim_release(nth(1), "ann", 60)
    assert claimed.raw == RAW
    assert [s.state for s in await store.list_held()] == [HeldState.RELEASING]
    await store.finish_release(nth(1), "ann", delivered=True)

    assert not await store.list_held()
    assert (await store.held(nth(1))).summary.state is HeldState.RELEASED
    with pytest.raises(UsageError):
        await store.claim_release(nth(1), "ann", 60)


async def test_failed_release_puts_the_message_back(store: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    await store.claim_release(nth(1), "ann", 60)
    await store.finish_release(nth(1), "ann", delivered=False)

    assert [s.state for s in await store.list_held()] == [HeldState.HELD]
    await store.claim_release(nth(1), "bob", 60)


async def test_claim_is_exclusive_until_its_lease_ends(store: Store, other: Store, clock: FixedClock) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    await store.claim_release(nth(1), "ann", 60)
    with pytest.raises(UsageError):
        await other.claim_release(nth(1), "bob", 60)
    clock.advance(61)

    await other.claim_release(nth(1), "bob", 60)
    with pytest.raises(UsageError):
        await store.finish_release(nth(1), "ann", delivered=False)


async def test_ended_lease_is_reaped_and_a_late_delivery_still_counts(store: Store, clock: FixedClock) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    await store.claim_release(nth(1), "ann", 60)
    clock.advance(61)
    assert await store.reap() == 1
    assert [s.state for s in await store.list_held()] == [HeldState.HELD]

    await store.finish_release(nth(1), "ann", delivered=True)

    assert not await store.list_held()


async def test_deleted_message_has_no_body(store: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    await store.delete_held(nth(1), "ann")

    assert not await store.list_held()
    with pytest.raises(NotFound):
        await store.held(nth(1))
    with pytest.raises(UsageError):
        await store.delete_held(nth(1), "ann")
    with pytest.raises(UsageError):
        await store.claim_release(nth(1), "ann", 60)


async def test_message_being_released_cannot_be_deleted(store: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    await store.claim_release(nth(1), "ann", 60)

    with pytest.raises(UsageError):
        await store.delete_held(nth(1), "bob")


async def test_unknown_message_is_not_found(store: Store) -> None:
    for attempt in (
        store.held(nth(9)),
        store.claim_release(nth(9), "ann", 60),
        store.finish_release(nth(9), "ann", delivered=True),
        store.delete_held(nth(9), "ann"),
    ):
        with pytest.raises(NotFound):
            await attempt


# SMS


def part(provider_id: str, n: int = 1, of: int = 1, reference: str = "", text: str = "text") -> SmsPart:
    return SmsPart(
        provider="twilio",
        provider_id=provider_id,
        sender="+15550001",
        recipient="+15550002",
        text=f"{text}\0\ud83d{n}",
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        payload=b"Body=\xff\0",
        content_type="application/x-www-form-urlencoded",
        headers=(("x-twilio-signature", "abc"),),
        query="a=b",
        reference=reference,
        part=n,
        parts=of,
    )


async def test_sms_in_one_part_is_complete_and_comes_back_whole(store: Store, other: Store, clock: FixedClock) -> None:
    arrival, message = await store.receive(part("a"), nth(1))
    assert arrival is Arrival.COMPLETE
    assert message is not None
    clock.advance(61)

    ((claimed, is_forward),) = await other.claim_work(limit=10, lease_seconds=60)
    assert claimed == message
    assert claimed.parts == (part("a"),)
    assert not is_forward


async def test_sms_received_again_is_a_duplicate_with_the_message_until_it_is_decided(
    store: Store, other: Store
) -> None:
    _, message = await store.receive(part("a"), nth(1))
    assert await other.receive(part("a"), nth(2)) == (Arrival.DUPLICATE, message)
    await store.decided(nth(1), forward=False)

    assert await other.receive(part("a"), nth(3)) == (Arrival.DUPLICATE, None)


async def test_same_id_at_another_provider_is_another_message(store: Store) -> None:
    await store.receive(part("a"), nth(1))
    arrival, _ = await store.receive(replace(part("a"), provider="plivo"), nth(2))

    assert arrival is Arrival.COMPLETE


async def test_parts_out_of_order_are_joined_in_order(store: Store, other: Store) -> None:
    assert await store.receive(part("c", 3, 3, "ref"), nth(1)) == (Arrival.PARTIAL, None)
    assert await other.receive(part("a", 1, 3, "ref"), nth(2)) == (Arrival.PARTIAL, None)
    assert await other.receive(part("a", 1, 3, "ref"), nth(3)) == (Arrival.DUPLICATE, None)
    arrival, message = await store.receive(part("b", 2, 3, "ref"), nth(4))

    assert arrival is Arrival.COMPLETE
    assert message is not None
    assert message.id == nth(1)
    assert [p.part for p in message.parts] == [1, 2, 3]


async def test_parts_that_arrive_at_the_same_time_complete_one_message(store: Store, other: Store) -> None:
    arrivals = await asyncio.gather(
        *(
            each.receive(part(f"{n}", n, 6, "ref"), nth(n))
            for n, each in zip(range(1, 7), (store, other) * 3, strict=True)
        )
    )

    (whole,) = [message for arrival, message in arrivals if arrival is Arrival.COMPLETE]
    assert whole is not None
    assert [p.part for p in whole.parts] == [1, 2, 3, 4, 5, 6]


async def test_webhook_repeated_at_the_same_time_is_stored_once(store: Store, other: Store) -> None:
    arrivals = await asyncio.gather(*(each.receive(part("a"), nth(n)) for n, each in enumerate((store, other) * 3)))

    assert sorted(arrival.value for arrival, _ in arrivals) == ["complete"] + ["duplicate"] * 5


async def test_reused_reference_starts_another_message(store: Store) -> None:
    await store.receive(part("a", 1, 2, "ref"), nth(1))
    assert await store.receive(part("b", 1, 2, "ref"), nth(2)) == (Arrival.PARTIAL, None)
    _, message = await store.receive(part("c", 2, 2, "ref"), nth(3))

    assert message is not None
    assert message.id == nth(1)


async def test_partial_message_counts_as_whole_after_its_time(store: Store, clock: FixedClock) -> None:
    await store.receive(part("a", 1, 2, "ref"), nth(1))
    assert not await store.claim_work(limit=10, lease_seconds=60)
    clock.advance(31)

    ((message, is_forward),) = await store.claim_work(limit=10, lease_seconds=60)
    assert message.parts == (part("a", 1, 2, "ref"),)
    assert not is_forward


async def test_work_is_claimed_once_per_lease(store: Store, other: Store, clock: FixedClock) -> None:
    await store.receive(part("a"), nth(1))
    await store.receive(part("b"), nth(2))
    await store.decided(nth(1), forward=True)
    await store.decided(nth(2), forward=True)

    assert len(await store.claim_work(limit=1, lease_seconds=60)) == 1
    assert len(await other.claim_work(limit=10, lease_seconds=60)) == 1
    assert not await store.claim_work(limit=10, lease_seconds=60)
    clock.advance(60)
    assert len(await store.claim_work(limit=10, lease_seconds=60)) == 2


async def test_forward_is_repeated_until_it_succeeds(store: Store, clock: FixedClock) -> None:
    await store.receive(part("a"), nth(1))
    await store.decided(nth(1), forward=True)
    ((_, is_forward),) = await store.claim_work(limit=10, lease_seconds=60)
    assert is_forward
    await store.retry_later(nth(1), 120)
    clock.advance(100)
    assert not await store.claim_work(limit=10, lease_seconds=60)
    clock.advance(21)
    assert len(await store.claim_work(limit=10, lease_seconds=60)) == 1

    await store.forwarded(nth(1))
    clock.advance(10_000)
    assert not await store.claim_work(limit=10, lease_seconds=60)


async def test_swallowed_sms_can_be_forwarded_after_all(store: Store) -> None:
    await store.receive(part("a"), nth(1))
    await store.decided(nth(1), forward=False)
    await store.decided(nth(1), forward=True)

    ((message, is_forward),) = await store.claim_work(limit=10, lease_seconds=60)
    assert (message.id, is_forward) == (nth(1), True)


async def test_very_long_provider_ids_stay_apart(store: Store) -> None:
    assert (await store.receive(part("x" * 60_000), nth(1)))[0] is Arrival.COMPLETE
    assert (await store.receive(part("x" * 60_000 + "y"), nth(2)))[0] is Arrival.COMPLETE
    assert (await store.receive(part("x" * 60_000), nth(3)))[0] is Arrival.DUPLICATE


# Tokens


def token(name: str = "ci") -> Token:
    return Token(name=name, scopes=(Scope.FEEDBACK, Scope.ADMIN), created_at=datetime(2026, 1, 1, tzinfo=UTC))


SECRET = hashlib.sha256(b"secret").hexdigest()


async def test_token_is_found_by_its_secret_until_revoked(store: Store, other: Store) -> None:
    await store.add_token(token(), SECRET, "root")
    assert await other.find_token(SECRET) == token()
    assert await other.find_token("0" * 64) is None
    assert list(await other.list_tokens()) == [token()]

    await other.revoke_token("ci", "root")

    assert await store.find_token(SECRET) is None
    assert not await store.list_tokens()


async def test_token_name_is_taken_once(store: Store) -> None:
    await store.add_token(token(), SECRET, "root")
    with pytest.raises(UsageError):
        await store.add_token(token(), "1" * 64, "root")
    with pytest.raises(NotFound):
        await store.revoke_token("other", "root")


# Forgetting


async def test_purge_deletes_what_is_past_its_days_and_nothing_in_custody(store: Store, clock: FixedClock) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    await store.hold(envelope(2), b"pending", HOLD, pending=True)
    await store.add_feedback(label(1))
    await store.receive(part("done"), nth(3))
    await store.receive(part("waiting"), nth(4))
    await store.decided(nth(3), forward=False)
    await store.decided(nth(4), forward=True)
    await store.record(verdict(replace(envelope(5), received_at=clock.now() + timedelta(days=20))))

    assert await store.purge(clock.now() + timedelta(days=29)) == {
        "verdict": 0,
        "held": 0,
        "feedback": 0,
        "scanned": 0,
        "sms": 0,
        "rule": 0,
        "deleted": 0,
        "ticket": 0,
    }
    counts = await store.purge(clock.now() + timedelta(days=31))

    assert counts == {
        "verdict": 2,
        "held": 1,
        "feedback": 1,
        "scanned": 0,
        "sms": 1,
        "rule": 0,
        "deleted": 0,
        "ticket": 0,
    }
    assert len(await store.verdicts(nth(5))) == 1
    await store.settle(nth(2), HeldState.HELD)
    assert (await store.held(nth(2))).raw == b"pending"
    assert len(await store.claim_work(limit=10, lease_seconds=1)) == 1


@pytest.mark.invariant("I10")
async def test_purge_keeps_the_payload_of_an_sms_that_is_held(store: Store, clock: FixedClock) -> None:
    """Held messages may be kept for longer than decided ones: a person can still let it go."""
    late = clock.now() + timedelta(days=20)
    await store.receive(part("held"), nth(1))
    await store.hold(replace(sms_envelope(1), received_at=late), b"SPAM", HOLD)
    await store.decided(nth(1), forward=False)

    assert (await store.purge(clock.now() + timedelta(days=31)))["sms"] == 0
    await store.decided(nth(1), forward=True)
    assert len(await store.claim_work(limit=10, lease_seconds=1)) == 1


async def test_erase_forgets_a_sender_and_a_recipient(store: Store) -> None:
    await store.hold(envelope(1, "Alice@Example.org", "bob@example.net"), RAW, HOLD)
    await store.hold(envelope(2, "carol@example.com", "ALICE@example.org"), RAW, HOLD)
    await store.hold(envelope(3, "carol@example.com", "bob@example.net"), RAW, HOLD)
    await store.add_feedback(label(1))
    await store.add_feedback(label(3, reporter="alice@example.org"))
    await store.add_feedback(label(3))

    counts = await store.erase("alice@EXAMPLE.org", "cli")

    assert counts == {"verdict": 2, "held": 2, "feedback": 2, "scanned": 0, "sms": 0, "rule": 0}
    assert [s.id for s in await store.list_held()] == [nth(3)]
    assert not await store.add_feedback(label(3))


async def test_erase_takes_one_of_several_recipients_out(store: Store) -> None:
    await store.hold(envelope(1, "carol@example.com", "alice@example.org", "bob@example.net"), RAW, HOLD)

    assert await store.erase("Alice@example.org", "cli") == {
        "verdict": 1,
        "held": 1,
        "feedback": 0,
        "scanned": 0,
        "sms": 0,
        "rule": 0,
    }
    held = await store.held(nth(1))
    assert [r.address for r in held.envelope.recipients] == ["bob@example.net"]
    assert held.summary.recipients == ("bob@example.net",)
    assert (await store.verdicts(nth(1)))[0].recipients == ("bob@example.net",)
    assert not await store.list_held(query="alice")


async def test_erase_forgets_a_phone_number(store: Store) -> None:
    await store.receive(part("a"), nth(1))
    await store.hold(sms_envelope(1), b"text", HOLD)

    assert await store.erase("15550001", "cli") == {
        "verdict": 1,
        "held": 1,
        "feedback": 0,
        "scanned": 0,
        "sms": 1,
        "rule": 0,
    }
    assert (await store.receive(part("a"), nth(2)))[0] is Arrival.COMPLETE


async def test_erase_needs_an_address(store: Store) -> None:
    with pytest.raises(UsageError):
        await store.erase(" ", "cli")


async def test_answering_store_has_room_and_answers_ping(store: Store) -> None:
    await store.ping()
    store.check_room()

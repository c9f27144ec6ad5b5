"""What people look through: every filter, whoever asks, and nothing of what is out of reach."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from filterd.core.access import EVERYBODY, Reach
from filterd.core.envelope import Channel, MessageId
from filterd.core.threshold_preview import Judged
from filterd.core.verdict import Action, Decision, Label, OutcomeKind, Reason, Verdict
from filterd.errors import NotFound, UsageError
from filterd.ports import HeldState
from filterd.review_ports import HeldQuery, VerdictQuery
from filterd.store import held_list
from filterd.store import recipients as of_recipients
from filterd.testing import FixedClock, a_scan
from tests.contract.stores import HOLD, KEEP, RAW, Store, envelope, label, nth, sms_envelope, verdict

START = datetime(2026, 1, 1, tzinfo=UTC)
BOB = Reach(addresses=frozenset({"bob@example.net"}))
EVE = Reach(addresses=frozenset({"eve@example.org"}))
NET = Reach(domains=frozenset({"example.net"}))
NOBODY = Reach()
STRANGER = Reach(addresses=frozenset({"mallory@example.com"}), domains=frozenset({"example.edu", "net"}))
PASS = Decision(action=Action.ACCEPT, reason=Reason.HAM, scan=a_scan(0.2))


def case_name(value: object) -> str:
    """A name that is the same in every process, which the text of a set is not."""
    return re.sub(r"frozenset\(({.*?})?\)", "a set", str(value))


def _raw(subject: str) -> bytes:
    return f"Subject: {subject}\r\n\r\nbody\r\n".encode()


@pytest.fixture(params=["narrow", "wide"])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which a database is asked for what is within reach."""
    if request.param == "wide":
        monkeypatch.setattr(of_recipients, "MANY", 0)


@pytest.fixture
async def held(store: Store) -> Store:
    """1: Bob's. 2: Bob's and Eve's. 3: Eve's. 4: an SMS. 5: deleted. 6: released."""
    for n, sender, recipients, subject in (
        (1, "alice@example.org", ("bob@example.net",), "Cheap Pills"),
        (2, "carol@example.com", ("Bob@Example.net", "eve@example.org"), "Привет 100%"),
        (3, "carol@example.com", ("eve@example.org",), "bob@ likes you"),
        (5, "alice@example.org", ("bob@example.net",), "deleted"),
        (6, "alice@example.org", ("bob@example.net",), "released"),
    ):
        message = replace(envelope(n, sender, *recipients), received_at=START + timedelta(hours=n))
        decision = replace(HOLD, reason=Reason.DENIED if n == 3 else Reason.SPAM, scan=a_scan(n / 10))
        await store.hold(message, _raw(subject), decision)
    await store.hold(sms_envelope(4), b"text", replace(HOLD, scan=None))
    await store.delete_held(nth(5), "ann")
    await store.claim_release(nth(6), "ann", 60)
    await store.finish_release(nth(6), "ann", delivered=True)
    return store


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, [4, 3, 2, 1]),
        ({"text": "ALICE"}, [1]),
        ({"text": "bob@"}, [3, 2, 1]),
        ({"text": "ПРИВЕТ"}, [2]),
        ({"text": "+1555"}, [4]),
        ({"text": "%"}, [2]),
        ({"text": "nothing"}, []),
        ({"sender": "Carol@"}, [3, 2]),
        ({"sender": "bob@"}, []),
        ({"sender": "+15550001"}, [4]),
        ({"recipient": "BOB@"}, [2, 1]),
        ({"recipient": "eve"}, [3, 2]),
        ({"recipient": "carol"}, []),
        ({"recipient": "+15550002"}, [4]),
        ({"subject": "pills"}, [1]),
        ({"subject": "привет"}, [2]),
        ({"subject": "bob@"}, [3]),
        ({"subject": "example"}, []),
        ({"subject": "+"}, []),
        ({"since": START + timedelta(hours=2)}, [3, 2]),
        ({"until": START + timedelta(hours=2)}, [4, 1]),
        ({"reasons": frozenset({Reason.DENIED, Reason.ALLOWED})}, [3]),
        ({"least_probability": 0.2}, [3, 2]),
        ({"most_probability": 0.2}, [2, 1]),
        ({"channel": Channel.SMS}, [4]),
        ({"states": frozenset({HeldState.DELETED})}, [5]),
        ({"states": frozenset(HeldState)}, [6, 5, 4, 3, 2, 1]),
        ({"before": nth(3)}, [2, 1]),
        ({"limit": 2}, [4, 3]),
        ({"text": "o", "sender": "carol", "subject": "100%"}, [2]),
    ],
    ids=case_name,
)
async def test_held_messages_are_found_by_each_filter(held: Store, filters: dict[str, Any], found: list[int]) -> None:
    query = HeldQuery(**filters)
    page = await held.review.page_held(query)

    assert [summary.id for summary in await held.review.list_held(query)] == [nth(n) for n in found]
    assert page.held == await held.review.list_held(query)
    assert page.count == await held.review.count_held(replace(query, before=None))
    if query.limit > len(found):
        assert await held.review.count_held(query) == len(found)


@pytest.mark.parametrize(
    ("reach", "filters", "found"),
    [
        (BOB, {}, [2, 1]),
        (NET, {}, [2, 1]),
        (EVE, {}, [3, 2]),
        (Reach(addresses=EVE.addresses, domains=NET.domains), {}, [3, 2, 1]),
        (Reach(addresses=frozenset({"15550002"})), {}, [4]),
        (NOBODY, {}, []),
        (STRANGER, {}, []),
        (BOB, {"limit": 1}, [2]),
        (BOB, {"before": nth(2)}, [1]),
        (BOB, {"text": "alice"}, [1]),
        (BOB, {"subject": "привет"}, [2]),
        (BOB, {"recipient": "bob"}, [2, 1]),
        (NET, {"reasons": frozenset({Reason.DENIED})}, []),
        (BOB, {"states": frozenset(HeldState)}, [6, 5, 2, 1]),
    ],
    ids=case_name,
)
@pytest.mark.usefixtures("width")
async def test_held_messages_are_those_within_reach(
    held: Store, reach: Reach, filters: dict[str, Any], found: list[int]
) -> None:
    shown = await held.review.list_held(HeldQuery(reach=reach, **filters))

    assert [summary.id for summary in shown] == [nth(n) for n in found]
    assert all(summary.recipients and all(map(reach.covers, summary.recipients)) for summary in shown)


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize("filters", [{"text": "eve@"}, {"recipient": "eve@"}, {"text": "example.org"}], ids=str)
async def test_other_recipients_of_a_message_cannot_be_guessed(held: Store, filters: dict[str, Any]) -> None:
    """Bob looks for Eve, who got the same message: in no list and no count."""
    found = await held.review.list_held(HeldQuery(reach=BOB, **filters))

    assert nth(2) not in {summary.id for summary in found}
    assert await held.review.count_held(HeldQuery(reach=BOB, **filters)) == len(found)


async def test_page_beyond_what_is_counted_is_there(held: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_list, "COUNT_LIMIT", 2)

    page = await held.review.page_held(HeldQuery(before=nth(3), limit=1))

    assert [summary.id for summary in page.held] == [nth(2)]


async def test_held_message_is_shown_for_the_recipients_within_reach(held: Store) -> None:
    message = await held.held(nth(2), BOB)

    assert message.summary.recipients == ("Bob@Example.net",)
    assert [recipient.address for recipient in message.envelope.recipients] == ["Bob@Example.net"]


@pytest.mark.parametrize("reach", [BOB, STRANGER, NOBODY], ids=["bob", "stranger", "nobody"])
async def test_d9_message_out_of_reach_is_answered_like_one_that_is_not_there(held: Store, reach: Reach) -> None:
    calls = (
        lambda message: held.held(message, reach),
        lambda message: held.claim_release(message, "mallory", 60, reach),
        lambda message: held.delete_held(message, "mallory", reach),
        lambda message: held.review.verdicts(message, reach),
    )
    for call in calls:
        with pytest.raises(NotFound) as foreign:
            await call(nth(3))
        with pytest.raises(NotFound) as absent:
            await call(nth(99))

        assert foreign.value.detail.replace(nth(3), "") == absent.value.detail.replace(nth(99), "")
    assert (await held.held(nth(3))).summary.state is HeldState.HELD


# Split


async def test_release_for_some_recipients_leaves_the_others_held(held: Store) -> None:
    claimed = await held.claim_release(nth(2), "bob", 60, BOB)
    assert claimed.summary.recipients == ("Bob@Example.net",)
    assert [recipient.address for recipient in claimed.envelope.recipients] == ["Bob@Example.net"]
    assert claimed.raw == _raw("Привет 100%")
    assert claimed.summary.id not in {nth(n) for n in range(1, 7)}
    await held.finish_release(claimed.summary.id, "bob", delivered=True)

    rest = await held.held(nth(2))
    assert (rest.summary.state, rest.summary.recipients) == (HeldState.HELD, ("eve@example.org",))
    assert [recipient.address for recipient in rest.envelope.recipients] == ["eve@example.org"]
    assert rest.raw == claimed.raw
    assert [summary.id for summary in await held.review.list_held(HeldQuery(reach=BOB))] == [nth(1)]
    assert [summary.id for summary in await held.review.list_held(HeldQuery(reach=EVE))] == [nth(3), nth(2)]


async def test_release_that_fails_leaves_two_held_messages(held: Store) -> None:
    claimed = await held.claim_release(nth(2), "bob", 60, BOB)
    await held.finish_release(claimed.summary.id, "bob", delivered=False)

    ours, theirs = await held.held(nth(2), BOB), await held.held(nth(2), EVE)
    assert {ours.summary.state, theirs.summary.state} == {HeldState.HELD}
    assert (ours.summary.recipients, theirs.summary.recipients) == (("Bob@Example.net",), ("eve@example.org",))
    again = await held.claim_release(nth(2), "bob", 60, BOB)
    assert again.summary.id == claimed.summary.id


async def test_deletion_for_some_recipients_leaves_the_others_held(held: Store) -> None:
    await held.delete_held(nth(2), "bob", BOB)

    assert (await held.held(nth(2))).summary.recipients == ("eve@example.org",)
    with pytest.raises(UsageError):
        await held.delete_held(nth(2), "bob", BOB)
    with pytest.raises(NotFound):
        await held.held(nth(2), BOB)
    assert (await held.held(nth(2), EVE)).raw == _raw("Привет 100%")


async def test_message_is_not_split_where_all_its_recipients_are_within_reach(held: Store) -> None:
    both = Reach(addresses=BOB.addresses | EVE.addresses)
    claimed = await held.claim_release(nth(2), "ann", 60, both)

    assert claimed.summary.id == nth(2)
    assert len(claimed.envelope.recipients) == 2


async def test_message_that_is_being_released_is_not_split(held: Store) -> None:
    await held.claim_release(nth(2), "ann", 60)
    for act in (held.claim_release(nth(2), "bob", 60, BOB), held.delete_held(nth(2), "bob", BOB)):
        with pytest.raises(UsageError):
            await act

    assert [s.id for s in await held.review.list_held(HeldQuery(subject="привет"))] == [nth(2)]


async def test_retry_of_a_split_message_is_nothing_new(store: Store) -> None:
    """Its sender did not hear that it is held; Bob has deleted his already."""
    both = ("bob@example.net", "eve@example.org")
    await store.hold(envelope(1, "alice@example.org", *both), RAW, HOLD)
    await store.delete_held(nth(1), "bob", BOB)
    await store.hold(envelope(2, "alice@example.org", *both), RAW, HOLD)

    (rest,) = await store.review.list_held(HeldQuery())
    assert (rest.id, rest.recipients) == (nth(1), ("eve@example.org",))
    assert not await store.review.list_held(HeldQuery(reach=BOB))


async def test_parts_of_a_pending_message_settle_apart_from_what_was_deleted(store: Store) -> None:
    both = envelope(1, "alice@example.org", "bob@example.net", "eve@example.org")
    await store.hold(both, RAW, HOLD, pending=True)
    await store.delete_held(nth(1), "bob", BOB)
    await store.settle(nth(1), HeldState.HELD)

    (rest,) = await store.review.list_held(HeldQuery())
    assert rest.recipients == ("eve@example.org",)


async def test_split_message_is_one_to_its_labels(held: Store) -> None:
    claimed = await held.claim_release(nth(2), "bob", 60, BOB)

    assert await held.add_feedback(replace(label(2), message_id=claimed.summary.id))
    assert not await held.add_feedback(label(2))


# History


@pytest.fixture
async def judged(store: Store) -> Store:
    """1: to Bob. 2: to Bob and Eve, decided apart. 3: to Eve and Dan. 4: an SMS. 5: to Bob, unscanned."""
    to = ("bob@example.net", "eve@example.org", "dan@example.net")
    whole = envelope(2, "carol@example.com", *to)
    for message, decision in (
        (envelope(1), PASS),
        (whole.only(whole.recipients[:1]), PASS),
        (whole.only(whole.recipients[1:2]), HOLD),
        (replace(envelope(3, "carol@example.com", *to[1:]), received_at=START + timedelta(days=3)), HOLD),
        (sms_envelope(4), PASS),
        (envelope(5), replace(PASS, reason=Reason.ALLOWED, scan=None)),
    ):
        await store.record(verdict(message, decision))
    return store


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, [5, 4, 3, 2, 2, 1]),
        ({"reach": BOB}, [5, 2, 1]),
        ({"reach": EVE}, [3, 2]),
        ({"reach": NET}, [5, 3, 2, 1]),
        ({"reach": NOBODY}, []),
        ({"reach": STRANGER}, []),
        ({"text": "carol"}, [3, 2, 2]),
        ({"text": "dan@"}, [3]),
        ({"reach": EVE, "text": "dan@"}, []),
        ({"reach": EVE, "recipient": "dan@"}, []),
        ({"reach": NET, "recipient": "DAN@"}, [3]),
        ({"recipient": "eve"}, [3, 2]),
        ({"sender": "+1555"}, [4]),
        ({"actions": frozenset({Action.QUARANTINE})}, [3, 2]),
        ({"reach": BOB, "actions": frozenset({Action.QUARANTINE})}, []),
        ({"outcomes": frozenset({OutcomeKind.HELD})}, []),
        ({"outcomes": frozenset({OutcomeKind.RELAYED})}, [5, 4, 3, 2, 2, 1]),
        ({"reasons": frozenset({Reason.ALLOWED})}, [5]),
        ({"least_probability": 0.9}, [3, 2]),
        ({"most_probability": 0.5}, [4, 2, 1]),
        ({"channel": Channel.EMAIL, "most_probability": 0.5}, [2, 1]),
        ({"since": START + timedelta(days=1)}, [3]),
        ({"until": START + timedelta(days=1), "reach": EVE}, [2]),
        ({"before": nth(2)}, [1]),
        ({"limit": 2}, [5, 4]),
        ({"limit": 4}, [5, 4, 3, 2, 2]),
    ],
    ids=case_name,
)
async def test_verdicts_are_found_by_each_filter_within_reach(
    judged: Store, filters: dict[str, Any], found: list[int]
) -> None:
    rows = await judged.review.history(VerdictQuery(**filters))
    reach = filters.get("reach", EVERYBODY)

    assert [row.id for row in rows] == [nth(n) for n in found]
    assert all(row.recipients and all(map(reach.covers, row.recipients)) for row in rows)


async def test_verdicts_on_a_message_are_those_for_recipients_within_reach(judged: Store) -> None:
    assert len(await judged.review.verdicts(nth(2), EVERYBODY)) == 2
    (row,) = await judged.review.verdicts(nth(2), EVE)

    assert (row.action, row.recipients) == (Action.QUARANTINE, ("eve@example.org",))


async def test_recipient_with_an_at_in_his_name_is_in_the_domain_behind_the_last_one(store: Store) -> None:
    odd = '"bob@home"@example.net'
    await store.hold(envelope(1, "alice@example.org", odd), RAW, HOLD)

    assert [row.id for row in await store.review.history(VerdictQuery(reach=NET))] == [nth(1)]
    assert [row.id for row in await store.review.list_held(HeldQuery(reach=NET))] == [nth(1)]


# Campaigns


def _text(fingerprint: str) -> Decision:
    return replace(HOLD, scan=replace(a_scan(0.97), fingerprint=fingerprint))


async def test_campaigns_are_messages_with_nearly_the_same_text(store: Store, clock: FixedClock) -> None:
    near, far = "f" * 63 + "0", "0" * 64
    for n, fingerprint in ((1, "f" * 64), (2, near), (3, far), (4, near), (5, ""), (6, "")):
        message = replace(envelope(n, f"s{n}@example.org"), received_at=START + timedelta(hours=n))
        await store.hold(message, _raw(f"offer {n}"), _text(fingerprint))
    await store.delete_held(nth(4), "ann")
    await store.add_feedback(label(2, Label.SPAM))
    await store.add_feedback(label(3, Label.HAM))

    (found,) = await store.review.campaigns(EVERYBODY, START)
    assert found.messages == (nth(4), nth(2), nth(1))
    assert found.held == (nth(2), nth(1))
    assert (found.count, found.senders, found.subject) == (3, 3, "offer 2")
    assert (found.first_at, found.last_at) == (START + timedelta(hours=1), START + timedelta(hours=4))
    assert (found.spam_labels, found.ham_labels) == (1, 0)
    assert len(await store.review.campaigns(EVERYBODY, START, least=1)) == 2
    assert not await store.review.campaigns(EVERYBODY, START + timedelta(hours=3))
    assert not await store.review.campaigns(STRANGER, START, least=1)


async def test_campaign_has_only_what_is_within_reach(store: Store) -> None:
    for n, to in ((1, "bob@example.net"), (2, "eve@example.org"), (3, "bob@example.net")):
        await store.hold(envelope(n, f"s{n}@example.org", to), _raw(f"offer {n}"), _text("f" * 64))
    await store.add_feedback(label(2, Label.SPAM))

    (found,) = await store.review.campaigns(BOB, START)
    assert (found.messages, found.held, found.spam_labels) == ((nth(3), nth(1)), (nth(3), nth(1)), 0)


# Forgetting


async def test_erased_recipient_is_found_no_more(held: Store) -> None:
    await held.erase("Bob@example.net", "ann")

    assert not await held.review.list_held(HeldQuery(recipient="bob@", states=frozenset(HeldState)))
    assert not await held.review.list_held(HeldQuery(reach=BOB, states=frozenset(HeldState)))
    assert not await held.review.history(VerdictQuery(reach=BOB))
    assert [row.id for row in await held.review.history(VerdictQuery(reach=EVE))] == [nth(3), nth(2)]
    assert [row.id for row in await held.review.list_held(HeldQuery(text="eve@example.org"))] == [nth(3), nth(2)]


async def test_purged_messages_leave_no_recipients(held: Store) -> None:
    await held.purge(START + timedelta(days=KEEP.verdict_days + 1))

    assert not await held.review.list_held(HeldQuery(reach=NET, states=frozenset(HeldState)))
    assert not await held.review.history(VerdictQuery(reach=NET))


async def test_verdict_that_is_written_again_has_its_recipients_once(store: Store) -> None:
    for _ in range(2):
        await store.record(verdict(envelope(1, "alice@example.org", "bob@example.net", "eve@example.org")))

    (row,) = await store.review.history(VerdictQuery(reach=BOB))
    assert row.id == MessageId(nth(1))


# What thresholds would have done


async def test_judged_messages_are_ones_own_with_labels_and_releases(store: Store, other: Store) -> None:
    def scored(n: int, probability: float, *to: str) -> Verdict:
        return verdict(envelope(n, "eve@spam.example", *to), replace(HOLD, scan=a_scan(probability)))

    await store.record(scored(1, 0.1, "ann@example.net"), scored(2, 0.6, "ann@example.net", "bob@example.net"))
    unscored = verdict(envelope(4, "x@y", "ann@example.net"), replace(HOLD, scan=None))
    await store.record(scored(3, 0.7, "bob@example.net"), unscored)
    await store.hold(envelope(5, "eve@spam.example", "ann@example.net"), RAW, HOLD)
    await store.claim_release(nth(5), "root", 60.0)
    await store.finish_release(nth(5), "root", delivered=True)
    await store.add_feedback(label(1, Label.SPAM))
    await store.add_feedback(label(1, Label.HAM, "bob"))
    await store.add_feedback(label(3, Label.SPAM))
    ann = Reach(addresses=frozenset({"ann@example.net"}))
    since = envelope(1).received_at

    found = await other.review.judged(ann, since, most=10)

    assert list(found) == [
        Judged(probability=0.97, was_released=True),
        Judged(probability=0.6),
        Judged(probability=0.1, label=Label.HAM),
    ]
    assert [one.probability for one in await other.review.judged(EVERYBODY, since, most=2)] == [0.97, 0.7]
    assert not await other.review.judged(ann, since + timedelta(days=1), most=10)

"""How much mail of whom ended how, whatever the store is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from filterd.clock import mint_id
from filterd.core.access import EVERYBODY, Reach
from filterd.core.envelope import Channel
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.review_ports import HourCount
from filterd.testing import FixedClock, a_scan, an_envelope
from tests.contract.stores import Store

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BOB, EVE = "bob@example.net", "eve@example.org"
OUTCOME = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))


def judged(at: timedelta, action: Action, *recipients: str, channel: Channel = Channel.EMAIL) -> Verdict:
    envelope = an_envelope("a@b.example", *recipients, id=mint_id(FixedClock(START + at)), channel=channel)
    decision = Decision(action=action, reason=Reason.SPAM, scan=a_scan(0.9))
    return Verdict.of(replace(envelope, received_at=START + at), 1, decision, OUTCOME, {})


@pytest.fixture
async def traffic(store: Store) -> Store:
    minutes = timedelta(minutes=1)
    for verdict in (
        judged(0 * minutes, Action.ACCEPT, BOB),
        judged(59 * minutes, Action.ACCEPT, "Bob@Example.NET"),
        judged(60 * minutes, Action.ACCEPT, BOB),
        judged(61 * minutes, Action.QUARANTINE, BOB, EVE),
        judged(62 * minutes, Action.QUARANTINE, BOB, "cat@example.net"),
        judged(63 * minutes, Action.REJECT, EVE),
        judged(64 * minutes, Action.TAG, "15550001", channel=Channel.SMS),
        judged(25 * 60 * minutes, Action.ACCEPT, BOB),
    ):
        await store.record(verdict)
    return store


def counts(found: Sequence[HourCount]) -> dict[tuple[int, str, str], int]:
    return {
        (int((each.hour - START).total_seconds()) // 3600, each.channel.value, each.action.value): each.count
        for each in found
    }


@pytest.mark.parametrize(
    ("reach", "expected"),
    [
        (
            EVERYBODY,
            {
                (0, "email", "accept"): 2,
                (1, "email", "accept"): 1,
                (1, "email", "quarantine"): 2,
                (1, "email", "reject"): 1,
                (1, "sms", "tag"): 1,
            },
        ),
        (
            Reach(addresses=frozenset({BOB})),
            {(0, "email", "accept"): 2, (1, "email", "accept"): 1, (1, "email", "quarantine"): 2},
        ),
        (
            Reach(addresses=frozenset({BOB}), domains=frozenset({"example.net"})),
            {(0, "email", "accept"): 2, (1, "email", "accept"): 1, (1, "email", "quarantine"): 2},
        ),
        (Reach(addresses=frozenset({EVE})), {(1, "email", "quarantine"): 1, (1, "email", "reject"): 1}),
        (Reach(domains=frozenset({"example.org"})), {(1, "email", "quarantine"): 1, (1, "email", "reject"): 1}),
        (Reach(addresses=frozenset({"15550001"})), {(1, "sms", "tag"): 1}),
        (Reach(addresses=frozenset({"mallory@example.com"}), domains=frozenset({"net", "example.edu"})), {}),
        (Reach(), {}),
    ],
    ids=["everybody", "bob", "bob and his domain", "eve", "domain", "number", "stranger", "nobody"],
)
async def test_traffic_is_of_whom_one_reaches(
    traffic: Store, reach: Reach, expected: dict[tuple[int, str, str], int]
) -> None:
    assert counts(await traffic.review.traffic(reach, START, START + DAY)) == expected


async def test_traffic_is_of_the_time_asked_for(traffic: Store) -> None:
    bob = Reach(addresses=frozenset({BOB}))

    assert counts(await traffic.review.traffic(bob, START + DAY, START + 2 * DAY)) == {(25, "email", "accept"): 1}
    hour = timedelta(hours=1)
    assert counts(await traffic.review.traffic(EVERYBODY, START, START + hour)) == {(0, "email", "accept"): 2}

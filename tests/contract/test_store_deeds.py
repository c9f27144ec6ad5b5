"""What every store takes back, whatever it is made of."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from filterd.core.envelope import MessageId
from filterd.core.overlay import ListEntry, ListKind, Thresholds
from filterd.core.verdict import Feedback, Label
from filterd.deed_ports import DeedKind, Selection, Undone
from filterd.errors import NotFound, UsageError
from filterd.rule_ports import GivenRule, RuleOrigin
from filterd.testing import FixedClock, a_scan
from tests.contract.stores import HOLD, RAW, Store, envelope, label, nth, verdict

ANN = "ann@example.net"
TEXT, NEAR, OTHER = "0" * 64, "0" * 63 + "1", "f" * 64


async def judged(store: Store, n: int, sender: str, fingerprint: str) -> None:
    decision = replace(HOLD, scan=replace(a_scan(0.97), fingerprint=fingerprint))
    await store.record(verdict(envelope(n, sender, "bob@example.net"), decision))


async def entry(
    store: Store,
    clock: FixedClock,
    name: str,
    by: str = "ann",
    n: int | None = None,
    kind: ListKind = ListKind.ALLOW,
) -> int:
    rule = ListEntry.of(ANN, kind, name)
    message = None if n is None else nth(n)
    given = GivenRule(rule=rule, by=by, given_at=clock.now(), origin=RuleOrigin.WEB, message=message)
    return (await store.rules.add(given)).id


async def released(store: Store, n: int, by: str = "ann", sender: str = "alice@example.org") -> MessageId:
    await store.hold(envelope(n, sender, "bob@example.net"), RAW + bytes([n]), HOLD)
    await store.claim_release(nth(n), by, 60)
    await store.finish_release(nth(n), by, delivered=True)
    return nth(n)


def at(n: int, by: str, moment: datetime, origin: str = "api") -> Feedback:
    return replace(label(n, Label.HAM, by), given_at=moment, origin=origin)


@pytest.fixture
async def world(store: Store, clock: FixedClock) -> dict[str, int]:
    """Three labels and three rules about messages 1 (evil.example), 2 (a near copy from elsewhere) and 3."""
    for n, sender, text in ((1, "x@evil.example", TEXT), (2, "y@b.example", NEAR), (3, "z@c.example", OTHER)):
        await judged(store, n, sender, text)
    for n, by in ((1, "ann"), (2, "bob"), (3, "ann")):
        await store.add_feedback(at(n, by, clock.now()))
    numbers = {deed.what + str(deed.message)[-22:]: deed.number for deed in await store.deeds.find(Selection())}
    found = {f"label{n}": numbers["ham" + nth(n)[-22:]] for n in (1, 2, 3)}
    clock.advance(60)
    found["evil"] = await entry(store, clock, "sub.evil.example")
    found["friend"] = await entry(store, clock, "friend.example", "bob", 1)
    given = GivenRule(rule=Thresholds.of(ANN, quarantine_at=0.5), by="ann", given_at=clock.now(), origin=RuleOrigin.CLI)
    found["thresholds"] = (await store.rules.add(given)).id
    return found


@pytest.mark.parametrize(
    ("meant", "labels", "rules"),
    [
        (Selection(message=nth(1)), {"label1"}, {"friend"}),
        (Selection(by="ann"), {"label1", "label3"}, {"evil", "thresholds"}),
        (Selection(sender_domain="evil.example"), {"label1"}, {"evil", "friend"}),
        (Selection(campaign=nth(2)), {"label1", "label2"}, {"friend"}),
        (Selection(by="bob", campaign=nth(1)), {"label2"}, {"friend"}),
        (Selection(since=FixedClock().now() + timedelta(seconds=30)), set(), {"evil", "friend", "thresholds"}),
        (Selection(until=FixedClock().now() + timedelta(seconds=30)), {"label1", "label2", "label3"}, set()),
        (Selection(by="ann", kinds=frozenset({DeedKind.THRESHOLDS})), set(), {"thresholds"}),
        (Selection(by="ann", kinds=frozenset({DeedKind.ALLOW, DeedKind.DENY})), set(), {"evil"}),
        (Selection(by="nobody"), set(), set()),
    ],
    # The text of a set is not the same in every process.
    ids=lambda v: "" if isinstance(v, set) else re.sub(r"frozenset\(.*?\)", "a set", repr(v))[-60:],
)
async def test_undo_takes_back_what_fits_everything_given_and_nothing_else(
    store: Store,
    other: Store,
    clock: FixedClock,
    world: dict[str, int],
    meant: Selection,
    labels: set[str],
    rules: set[str],
) -> None:
    before = await other.deeds.find(Selection())
    rehearsed = await store.deeds.undo(meant, "root", is_rehearsal=True)
    assert await other.deeds.find(Selection()) == before

    undone = await store.deeds.undo(meant, "root")

    wanted = Undone(labels=tuple(sorted(world[n] for n in labels)), rules=tuple(sorted(world[n] for n in rules)))
    assert rehearsed == undone == wanted
    gone = {(e.kind is DeedKind.LABEL, e.number) for e in before} - {
        (e.kind is DeedKind.LABEL, e.number) for e in await other.deeds.find(Selection())
    }
    assert gone == {(True, n) for n in undone.labels} | {(False, n) for n in undone.rules}
    assert await store.deeds.undo(meant, "root") == Undone()
    revoked = [e for e in await other.deeds.find(Selection(), has_revoked=True) if e.revoked_at]
    assert {e.revoked_by for e in revoked} <= {"root"}
    assert {row.id for row in await store.rules.changes_since(None)}.isdisjoint(undone.rules)


async def test_undone_release_takes_its_label_and_entry_with_it_and_leaves_those_of_others(
    store: Store, clock: FixedClock
) -> None:
    id = await released(store, 1)
    for by, origin in (("ann", "release"), ("bob", "api")):
        await store.add_feedback(at(1, by, clock.now(), origin))
    own = await entry(store, clock, "alice@example.org", n=1)
    others = [
        await entry(store, clock, "a.example", "bob", 1),
        await entry(store, clock, "b.example", n=1, kind=ListKind.DENY),
        await entry(store, clock, "c.example"),
    ]
    await released(store, 2)

    undone = await store.deeds.undo(Selection(message=id, kinds=frozenset({DeedKind.RELEASE})), "root")

    assert (undone.releases, len(undone.labels), undone.rules) == ((id,), 1, (own,))
    left = await store.deeds.find(Selection(message=id))
    assert {(deed.kind, deed.by) for deed in left} == {
        (DeedKind.LABEL, "bob"),
        (DeedKind.ALLOW, "bob"),
        (DeedKind.DENY, "ann"),
    }
    assert [row.id for row in await store.rules.changes_since(None)] == others
    again = await store.deeds.undo(Selection(message=id, kinds=frozenset({DeedKind.RELEASE})), "root")
    assert again == Undone()
    assert [e.what for e in await store.deeds.find(Selection(kinds=frozenset({DeedKind.RELEASE})))] == [nth(2)]


async def test_releases_are_found_by_sender_and_time_and_by_who_did(store: Store, clock: FixedClock) -> None:
    await released(store, 1, "ann", "x@evil.example")
    clock.advance(60)
    moment = clock.now()
    await released(store, 2, "bob")
    kinds = frozenset({DeedKind.RELEASE})

    async def found(meant: Selection) -> list[str]:
        return [deed.what for deed in await store.deeds.find(replace(meant, kinds=kinds))]

    assert await found(Selection(sender_domain="evil.example")) == [nth(1)]
    assert await found(Selection(by="bob")) == [nth(2)]
    assert await found(Selection(until=moment)) == [nth(1)]
    assert await found(Selection(message=nth(2))) == [nth(2)]


async def test_promotion_is_written_down_as_taken_back_until_it_is_promoted_again(
    store: Store, clock: FixedClock
) -> None:
    await store.note("promoted", "email-1", "root")
    await store.note("promoted", "email-2", "trainer retrain")
    meant = Selection(by="trainer retrain", kinds=frozenset({DeedKind.PROMOTION}))

    assert (await store.deeds.undo(meant, "root")).promotions == ("email-2",)
    assert (await store.deeds.undo(meant, "root")).promotions == ()
    clock.advance(1)
    await store.note("promoted", "email-2", "trainer retrain")
    everything = await store.deeds.find(Selection(), has_revoked=True)

    assert [(e.what, e.revoked_by) for e in everything] == [("email-2", ""), ("email-2", "root"), ("email-1", "")]
    assert (await store.deeds.undo(Selection(message=None, sender_domain="x.example"), "root")) == Undone()


async def test_deeds_are_the_latest_first(store: Store, clock: FixedClock, world: dict[str, int]) -> None:
    found = await store.deeds.find(Selection(), limit=4)

    assert [(deed.kind, deed.number) for deed in found[:3]] == [
        (DeedKind.THRESHOLDS, world["thresholds"]),
        (DeedKind.ALLOW, world["friend"]),
        (DeedKind.ALLOW, world["evil"]),
    ]
    assert (found[0].what, found[1].what, found[1].message) == ("quarantine_at=0.5", "allow friend.example", nth(1))
    assert len(found) == 4


async def test_undo_of_everything_at_once_is_refused(store: Store) -> None:
    with pytest.raises(UsageError):
        await store.deeds.undo(Selection(kinds=frozenset({DeedKind.LABEL})), "root")
    with pytest.raises(NotFound):
        await store.deeds.undo(Selection(campaign=nth(9)), "root")

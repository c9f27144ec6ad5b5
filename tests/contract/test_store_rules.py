"""What every book of rules does, whatever it is made of."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from filterd import rule_ports
from filterd.core.envelope import MessageId
from filterd.core.overlay import EVERYBODY, ListEntry, ListKind, RuntimeRule, Thresholds
from filterd.errors import NotFound, UsageError
from filterd.rule_ports import GivenRule, RuleOrigin
from filterd.testing import FixedClock
from tests.contract.stores import Store, envelope, nth, verdict

ANN = "ann@example.net"


def an_entry(entry: str = "eve@example.org", scope: str = ANN, kind: ListKind = ListKind.ALLOW) -> ListEntry:
    return ListEntry.of(scope, kind, entry)


def given(rule: RuntimeRule, clock: FixedClock, by: str = "ann", message: MessageId | None = None) -> GivenRule:
    return GivenRule(rule=rule, by=by, given_at=clock.now(), origin=RuleOrigin.API, message=message)


async def test_rules_are_kept_as_given_and_numbered_in_order(store: Store, other: Store, clock: FixedClock) -> None:
    await store.record(verdict(envelope(1, "Eve@Example.org")))
    wanted = [
        given(an_entry(), clock, message=nth(1)),
        given(an_entry("192.0.2.0/24", EVERYBODY, ListKind.DENY), clock, "root"),
        given(Thresholds.of("example.net", tag_at=0.25, quarantine_at="off", is_enabled=False), clock),
        given(Thresholds.of(ANN, quarantine_at="strict"), clock),
    ]

    added = [await store.rules.add(each) for each in wanted]
    found = await other.rules.changes_since(None)

    assert all(each.is_new for each in added)
    assert [row.id for row in found] == [each.id for each in added] == sorted(each.id for each in added)
    assert [row.given for row in found] == wanted
    assert [row.sender for row in found] == ["eve@example.org", "", "", ""]
    assert await other.rules.find(added[2].id) == found[2]


async def test_entry_that_stands_is_not_added_twice(store: Store, clock: FixedClock) -> None:
    first = await store.rules.add(given(an_entry(), clock))
    again = await store.rules.add(given(an_entry("EVE@example.org"), clock, "bob"))
    elsewhere = await store.rules.add(given(an_entry(scope="bob@example.net"), clock))

    assert (again.id, again.is_new) == (first.id, False)
    assert elsewhere.is_new


async def test_entry_when_the_opposite_stands_revokes_it(store: Store, clock: FixedClock) -> None:
    allowed = await store.rules.add(given(an_entry(), clock))
    denied = await store.rules.add(given(an_entry(kind=ListKind.DENY), clock, "bob"))

    assert [row.id for row in await store.rules.changes_since(None)] == [denied.id]
    before = await store.rules.find(allowed.id)
    assert (before.is_standing, before.revoked_by) == (False, "bob")


async def test_rule_is_revoked_once_and_says_by_whom(store: Store, other: Store, clock: FixedClock) -> None:
    one, two = [await store.rules.add(given(an_entry(name), clock)) for name in ("a@b.example", "c@d.example")]
    clock.advance(60)

    assert list(await other.rules.revoke([two.id, one.id, 999], "root")) == [one.id, two.id]
    assert list(await store.rules.revoke([one.id], "root")) == []
    row = await store.rules.find(one.id)
    assert (row.revoked_by, row.revoked_at, row.changed_at) == ("root", clock.now(), clock.now())
    assert list(await store.rules.changes_since(None)) == []
    assert (await store.rules.add(given(an_entry("a@b.example"), clock))).is_new


async def test_changes_are_those_of_the_moment_and_later(store: Store, clock: FixedClock) -> None:
    early = await store.rules.add(given(an_entry("a@b.example"), clock))
    kept = await store.rules.add(given(an_entry("c@d.example"), clock))
    clock.advance(60)
    moment = clock.now()
    late = await store.rules.add(given(Thresholds.of(ANN, tag_at="off"), clock))
    await store.rules.revoke([early.id], "root")

    found = await store.rules.changes_since(moment)

    assert [(row.id, row.is_standing) for row in found] == [(early.id, False), (late.id, True)]
    assert kept.id in {row.id for row in await store.rules.changes_since(moment - timedelta(seconds=60))}


async def test_list_is_of_one_scope_newest_first_in_pages(store: Store, clock: FixedClock) -> None:
    ids = [(await store.rules.add(given(an_entry(f"{n}@b.example"), clock))).id for n in range(4)]
    await store.rules.add(given(an_entry("x@b.example", EVERYBODY), clock))
    await store.rules.revoke(ids[:1], "root")

    assert [row.id for row in await store.rules.list(scope=ANN, limit=2)] == [ids[3], ids[2]]
    assert [row.id for row in await store.rules.list(scope=ANN, before=ids[2])] == [ids[1]]
    assert [row.id for row in await store.rules.list(scope=ANN, has_revoked=True, before=ids[2])] == [ids[1], ids[0]]
    assert len(await store.rules.list(scope=EVERYBODY)) == 1
    assert len(await store.rules.list()) == 4


async def test_entries_are_of_one_list_with_that_text_newest_first_in_pages(store: Store, clock: FixedClock) -> None:
    names = ("a@b.example", "%@b.example", "c@b.example", "d@e.example")
    ids = [(await store.rules.add(given(an_entry(name), clock))).id for name in names]
    await store.rules.add(given(an_entry("x@b.example", kind=ListKind.DENY), clock))
    await store.rules.add(given(an_entry("x@b.example", EVERYBODY), clock))
    await store.rules.revoke(ids[2:3], "root")

    async def found(**asked: Any) -> list[int]:
        return [row.id for row in await store.rules.entries(ANN, ListKind.ALLOW, **asked)]

    assert await found() == [ids[3], ids[1], ids[0]]
    assert await found(text="B.Example") == [ids[1], ids[0]]
    assert await found(text="%") == [ids[1]]
    assert await found(limit=1) == [ids[3]]
    assert await found(before=ids[3], limit=1) == [ids[1]]


async def test_thresholds_are_the_latest_of_the_scope_that_stand(store: Store, clock: FixedClock) -> None:
    ids = [
        (await store.rules.add(given(Thresholds.of(ANN, quarantine_at=at), clock))).id for at in ("strict", "normal")
    ]
    await store.rules.add(given(an_entry(), clock))
    await store.rules.add(given(Thresholds.of(EVERYBODY, quarantine_at="off"), clock))

    for expected in reversed(ids):
        row = await store.rules.thresholds(ANN)
        assert row is not None
        assert row.id == expected
        await store.rules.revoke([expected], "root")
    assert await store.rules.thresholds(ANN) is None


async def test_scope_has_a_limit_of_entries_and_everybody_has_none(
    store: Store, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("filterd.store.rules", "filterd.testing.rules"):
        monkeypatch.setattr(f"{module}.MOST_PER_SCOPE", 2)
    for n in range(2):
        await store.rules.add(given(an_entry(f"{n}@b.example"), clock))

    with pytest.raises(UsageError):
        await store.rules.add(given(an_entry("2@b.example"), clock))
    assert (await store.rules.add(given(an_entry("1@b.example", kind=ListKind.DENY), clock))).is_new
    for n in range(3):
        await store.rules.add(given(an_entry(f"{n}@b.example", EVERYBODY), clock))
    assert rule_ports.MOST_PER_SCOPE >= 100


async def test_unknown_message_and_unknown_rule_are_not_found(store: Store, clock: FixedClock) -> None:
    with pytest.raises(NotFound):
        await store.rules.add(given(an_entry(), clock, message=nth(9)))
    with pytest.raises(NotFound):
        await store.rules.find(1)


async def test_same_entry_given_at_once_by_two_workers_stands_once(
    store: Store, other: Store, clock: FixedClock
) -> None:
    names = [f"{n}@b.example" for n in range(20)]
    added = await asyncio.gather(
        *(each.rules.add(given(an_entry(name), clock)) for name in names for each in (store, other))
    )

    assert len(await store.rules.list(scope=ANN)) == sum(each.is_new for each in added) == len(names)


async def test_erased_person_s_rules_hold_no_longer_and_name_nobody(
    store: Store, other: Store, clock: FixedClock
) -> None:
    await store.record(verdict(envelope(1, "eve@example.org")))
    gone = [
        await store.rules.add(given(an_entry("friend.example", scope=ANN), clock, "root")),
        await store.rules.add(given(an_entry(ANN, scope="bob@example.net"), clock, "bob")),
        await store.rules.add(given(an_entry("x.example", "example.net"), clock, "Ann@Example.net")),
        await store.rules.add(given(Thresholds.of(ANN, tag_at="off"), clock, "root")),
    ]
    kept = await store.rules.add(given(an_entry("y.example", "example.net"), clock, "bob", nth(1)))
    clock.advance(1)

    assert (await store.erase("ANN@example.net", "root"))["rule"] == len(gone)
    assert (await store.erase("eve@example.org", "root"))["rule"] == 0

    assert [row.id for row in await other.rules.changes_since(None)] == [kept.id]
    changed = {row.id: row for row in await other.rules.changes_since(clock.now())}
    for each in gone:
        assert not changed[each.id].is_standing
    everything = repr(await other.rules.list(has_revoked=True)).lower()
    assert not any(name in everything for name in (ANN, "friend.example", "x.example", "eve@example.org"))


async def test_revoked_rules_are_forgotten_after_their_days_and_those_that_stand_are_kept(
    store: Store, clock: FixedClock
) -> None:
    one, two = [await store.rules.add(given(an_entry(name), clock)) for name in ("a@b.example", "c@d.example")]
    await store.rules.revoke([one.id], "ann")

    assert (await store.purge(clock.now() + timedelta(days=29)))["rule"] == 0
    assert (await store.purge(clock.now() + timedelta(days=31)))["rule"] == 1
    assert [row.id for row in await store.rules.list(has_revoked=True)] == [two.id]

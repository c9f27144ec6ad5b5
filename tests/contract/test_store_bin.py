"""Deleted messages can be put back as long as their bodies are kept, by those who reach them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from filterd.core.access import EVERYBODY, Reach
from filterd.errors import NotFound, UsageError
from filterd.ports import HeldState
from filterd.testing import FixedClock
from tests.contract.stores import HOLD, RAW, Store, envelope, nth

ANN, BOB = "ann@example.net", "bob@example.net"
ONLY_ANN = Reach(addresses=frozenset({ANN}))


async def test_deleted_message_is_put_back_as_it_was(store: Store, other: Store) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    before = await store.held(nth(1))
    await store.delete_held(nth(1), "ann")
    with pytest.raises(NotFound):
        await other.held(nth(1))

    await other.bin.restore(nth(1), "root", EVERYBODY)

    assert await store.held(nth(1)) == before
    with pytest.raises(UsageError):
        await store.bin.restore(nth(1), "root", EVERYBODY)


async def test_body_that_was_purged_does_not_come_back(store: Store, clock: FixedClock) -> None:
    await store.hold(envelope(1), RAW, HOLD)
    await store.delete_held(nth(1), "ann")

    assert (await store.purge(clock.now()))["deleted"] == 1

    with pytest.raises(NotFound):
        await store.bin.restore(nth(1), "root", EVERYBODY)
    assert (await store.purge(clock.now()))["deleted"] == 0


async def test_purge_keeps_bodies_of_what_is_held(store: Store, clock: FixedClock) -> None:
    await store.hold(envelope(1), RAW, HOLD)

    assert (await store.purge(clock.now()))["deleted"] == 0
    assert (await store.held(nth(1))).raw == RAW


async def test_message_is_put_back_for_those_within_reach_only(store: Store) -> None:
    await store.hold(envelope(1, "eve@example.org", ANN, BOB), RAW, HOLD)
    await store.delete_held(nth(1), "root")

    with pytest.raises(NotFound):
        await store.bin.restore(nth(1), "eve", Reach(addresses=frozenset({"eve@example.org"})))
    await store.bin.restore(nth(1), ANN, ONLY_ANN)

    back = await store.held(nth(1), ONLY_ANN)
    assert (back.summary.recipients, back.summary.state, back.raw) == ((ANN,), HeldState.HELD, RAW)
    with pytest.raises(NotFound):
        await store.held(nth(1), Reach(addresses=frozenset({BOB})))


async def test_deletions_of_a_person_in_a_span_are_found(store: Store, other: Store, clock: FixedClock) -> None:
    for n in (1, 2, 3):
        await store.hold(envelope(n), RAW + b"%d" % n, HOLD)
    await store.delete_held(nth(1), "ann")
    clock.advance(60)
    began = clock.now()
    await store.delete_held(nth(2), "ann")
    await store.delete_held(nth(3), "bob")
    until = clock.now() + timedelta(microseconds=1)

    assert list(await other.bin.deleted_by("ann", began, until)) == [nth(2)]
    assert not await other.bin.deleted_by("ann", began, began)

"""Digests are claimed once, and their links used once, whatever the store is made of."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from filterd.account_ports import Account
from filterd.core.access import Role
from filterd.core.digest import Schedule, Verb
from filterd.digest_ports import TICKET_DAYS, DigestClaim, Ticket
from filterd.testing import FixedClock
from tests.contract.stores import Store, nth

ANN = "ann@example.org"
SECRET = "a" * 64
DAY_SECONDS = 86_400.0


@pytest.fixture
async def slot(store: Store, clock: FixedClock) -> datetime:
    """Of a digest for an account that is there."""
    await store.accounts.add_account(Account(name=ANN, role=Role.USER, created_at=clock.now()), "test")
    return clock.now() - timedelta(minutes=1)


def a_ticket(clock: FixedClock, **more: Any) -> Ticket:
    ticket = Ticket(account=ANN, held=nth(1), verb=Verb.RELEASE, expires_at=clock.now() + timedelta(days=5))
    return replace(ticket, **more)


async def test_account_keeps_its_schedule(store: Store, other: Store, slot: datetime) -> None:
    account = await store.accounts.find_account(ANN)
    assert account is not None
    assert account.digest is None
    chosen = replace(account, digest=Schedule.of("workdays 06:30 Europe/Berlin"))
    await store.accounts.change_account(chosen, ANN)

    assert await other.accounts.find_account(ANN) == chosen


async def test_digest_is_claimed_by_one_of_many(store: Store, other: Store, slot: datetime) -> None:
    claims = await asyncio.gather(*(each.digests.claim_digest(ANN, slot, 60.0) for each in (store, other) * 5))

    assert [claim for claim in claims if claim] == [DigestClaim(account=ANN, slot=slot, told_until=None)]


async def test_digest_that_was_sent_is_not_claimed_again_and_the_next_goes_on_from_it(
    store: Store, other: Store, slot: datetime, clock: FixedClock
) -> None:
    await store.digests.claim_digest(ANN, slot, 60.0)
    await store.digests.finish_digest(ANN, slot)
    clock.advance(DAY_SECONDS)

    assert await other.digests.claim_digest(ANN, slot, 60.0) is None
    assert await other.digests.claim_digest(ANN, slot - timedelta(days=1), 60.0) is None
    following = slot + timedelta(days=1)
    claim = await other.digests.claim_digest(ANN, following, 60.0)
    assert claim == DigestClaim(account=ANN, slot=following, told_until=slot)


async def test_claim_of_a_process_that_died_ends_by_itself(
    store: Store, other: Store, slot: datetime, clock: FixedClock
) -> None:
    await store.digests.claim_digest(ANN, slot, 60.0)
    clock.advance(59.0)
    assert await other.digests.claim_digest(ANN, slot, 60.0) is None
    clock.advance(1.0)

    assert await other.digests.claim_digest(ANN, slot, 60.0) == DigestClaim(account=ANN, slot=slot, told_until=None)


async def test_digest_that_was_put_off_is_claimed_after_the_delay(
    store: Store, other: Store, slot: datetime, clock: FixedClock
) -> None:
    await store.digests.claim_digest(ANN, slot, 60.0)
    await store.digests.put_off_digest(ANN, 600.0)
    clock.advance(599.0)
    assert await other.digests.claim_digest(ANN, slot, 60.0) is None
    clock.advance(1.0)

    assert await other.digests.claim_digest(ANN, slot, 60.0) is not None


async def test_nobody_has_a_digest_without_an_account(store: Store, slot: datetime, clock: FixedClock) -> None:
    assert await store.digests.claim_digest("eve", slot, 60.0) is None
    await store.digests.add_tickets({SECRET: a_ticket(clock, account="eve")})

    assert await store.digests.find_ticket(SECRET) is None


async def test_d10_ticket_is_used_by_one_of_many(store: Store, other: Store, slot: datetime, clock: FixedClock) -> None:
    await store.digests.add_tickets({SECRET: a_ticket(clock), "b" * 64: a_ticket(clock, verb=Verb.DELETE)})
    assert await other.digests.find_ticket(SECRET) == a_ticket(clock)

    uses = await asyncio.gather(*(each.digests.use_ticket(SECRET) for each in (store, other) * 5))

    assert sorted(uses) == [False] * 9 + [True]
    assert await other.digests.find_ticket(SECRET) == a_ticket(clock, used_at=clock.now())
    assert await other.digests.find_ticket("b" * 64) == a_ticket(clock, verb=Verb.DELETE)


async def test_ticket_that_is_reopened_is_used_once_more(store: Store, slot: datetime, clock: FixedClock) -> None:
    await store.digests.add_tickets({SECRET: a_ticket(clock)})
    await store.digests.use_ticket(SECRET)
    await store.digests.reopen_ticket(SECRET)

    assert await store.digests.use_ticket(SECRET)
    assert not await store.digests.use_ticket(SECRET)


async def test_d10_ticket_is_not_used_after_its_days_nor_one_there_is_not(
    store: Store, slot: datetime, clock: FixedClock
) -> None:
    await store.digests.add_tickets({SECRET: a_ticket(clock)})
    clock.advance(5 * DAY_SECONDS)

    assert not await store.digests.use_ticket(SECRET)
    assert not await store.digests.use_ticket("c" * 64)
    assert await store.digests.find_ticket("c" * 64) is None


async def test_account_takes_its_tickets_along(store: Store, slot: datetime, clock: FixedClock) -> None:
    await store.digests.add_tickets({SECRET: a_ticket(clock)})
    await store.accounts.remove_account(ANN, "test")

    assert await store.digests.find_ticket(SECRET) is None


async def test_ticket_is_kept_for_a_while_after_it_expired(store: Store, slot: datetime, clock: FixedClock) -> None:
    await store.digests.add_tickets({SECRET: a_ticket(clock)})
    clock.advance((5 + TICKET_DAYS) * DAY_SECONDS)
    await store.purge(clock.now())
    assert await store.digests.find_ticket(SECRET) is not None
    clock.advance(1.0)

    assert (await store.purge(clock.now()))["ticket"] == 1
    assert await store.digests.find_ticket(SECRET) is None

"""Accounts, sessions and failed tries, whatever the store is made of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from filterd.account_ports import Account, Session
from filterd.core.access import Role
from filterd.core.digest import Schedule
from filterd.errors import NotFound, UsageError
from filterd.testing import FixedClock
from tests.contract.stores import Store

SECRET = "a" * 64


def an_account(clock: FixedClock, name: str = "ann@example.org", **more: Any) -> Account:
    account = Account(
        name=name, role=Role.USER, addresses=(name, "15550001"), password_hash="$argon2id$x", created_at=clock.now()
    )
    return replace(account, **more)


def a_session(clock: FixedClock, account: str = "ann@example.org") -> Session:
    now = clock.now()
    return Session(account=account, opened_at=now, seen_at=now, ends_at=now + timedelta(hours=12))


async def test_account_is_found_by_name_and_by_subject(store: Store, other: Store, clock: FixedClock) -> None:
    ann = an_account(clock)
    bob = an_account(clock, "bob", role=Role.MODERATOR, domains=("example.net",), subject="https://id.example 17")
    for account in (bob, ann):
        await store.accounts.add_account(account, "cli")

    assert await other.accounts.find_account("ann@example.org") == ann
    assert await other.accounts.find_subject("https://id.example 17") == bob
    assert list(await other.accounts.list_accounts()) == [ann, bob]
    assert await other.accounts.find_account("eve") is None
    assert await other.accounts.find_subject("") is None


async def test_account_name_is_taken_once(store: Store, clock: FixedClock) -> None:
    await store.accounts.add_account(an_account(clock), "cli")

    with pytest.raises(UsageError):
        await store.accounts.add_account(an_account(clock), "cli")


async def test_absent_account_is_neither_changed_nor_removed(store: Store, clock: FixedClock) -> None:
    with pytest.raises(NotFound):
        await store.accounts.change_account(an_account(clock), "cli")
    with pytest.raises(NotFound):
        await store.accounts.remove_account("ann@example.org", "cli")


async def test_session_is_found_by_its_secret_until_it_is_closed(store: Store, other: Store, clock: FixedClock) -> None:
    await store.accounts.add_account(an_account(clock), "cli")
    await store.accounts.open_session(SECRET, a_session(clock))

    assert await other.accounts.find_session(SECRET) == (a_session(clock), an_account(clock))
    assert await other.accounts.find_session("b" * 64) is None

    later = clock.now() + timedelta(minutes=5)
    await other.accounts.touch_session(SECRET, later)
    found = await store.accounts.find_session(SECRET)
    assert found is not None
    assert found[0].seen_at == later

    assert await store.accounts.close_session(SECRET)
    assert not await other.accounts.close_session(SECRET)
    await store.accounts.touch_session(SECRET, later)
    assert await other.accounts.find_session(SECRET) is None


@pytest.mark.parametrize(
    ("change", "is_ended"),
    [
        ({"language": "de"}, False),
        ({"digest": Schedule.of("off 07:00 UTC")}, False),
        ({"role": Role.AUDITOR}, True),
        ({"password_hash": "$argon2id$y"}, True),
        ({"addresses": ()}, True),
        ({"is_disabled": True}, True),
    ],
    ids=["language", "digest", "role", "password", "addresses", "disabled"],
)
async def test_changed_account_ends_its_sessions_unless_only_the_language_or_the_digest_changed(
    store: Store, clock: FixedClock, change: dict[str, Any], *, is_ended: bool
) -> None:
    await store.accounts.add_account(an_account(clock), "cli")
    await store.accounts.add_account(an_account(clock, "bob"), "cli")
    await store.accounts.open_session(SECRET, a_session(clock))
    await store.accounts.open_session("b" * 64, a_session(clock, "bob"))

    await store.accounts.change_account(an_account(clock, **change), "cli")

    assert (await store.accounts.find_session(SECRET) is None) is is_ended
    assert await store.accounts.find_session("b" * 64) is not None


async def test_removed_account_takes_its_sessions_along(store: Store, clock: FixedClock) -> None:
    await store.accounts.add_account(an_account(clock), "cli")
    await store.accounts.open_session(SECRET, a_session(clock))

    await store.accounts.remove_account("ann@example.org", "cli")

    assert await store.accounts.find_session(SECRET) is None
    assert await store.accounts.find_account("ann@example.org") is None


async def test_failed_tries_are_counted_per_key_since_a_time(store: Store, other: Store, clock: FixedClock) -> None:
    begin = clock.now()
    await store.accounts.note_failure(["ann", "net"])
    await store.accounts.note_failure(["net"])
    clock.advance(60.0)
    await other.accounts.note_failure(["net"])

    assert list(await store.accounts.failures(["ann", "net", "bob"], begin)) == [
        (1, begin),
        (3, clock.now()),
        (0, begin),
    ]
    assert (await store.accounts.failures(["net"], begin + timedelta(seconds=30)))[0] == (1, clock.now())

    await store.accounts.forget_failures(["net"])
    assert [n for n, _ in await other.accounts.failures(["ann", "net"], begin)] == [1, 0]

"""Signing in: who gets a session, for how long, and how fast anybody may guess."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from argon2 import PasswordHasher

from filterd.account_ports import Account
from filterd.core.access import Role
from filterd.errors import TooManyTries
from filterd.testing import FixedClock, MemoryStore
from filterd.web.passwords import Passwords
from filterd.web.sign_in import IDLE_HOURS, LINK_MINUTES, SESSION_HOURS, SignIn, network_of, wait_after

FAST = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse battery"
PEER = "192.0.2.7"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
async def store(clock: FixedClock) -> MemoryStore:
    store = MemoryStore(clock)
    account = Account(name="ann", role=Role.USER, password_hash=FAST.hash(PASSWORD), created_at=clock.now())
    await store.accounts.add_account(account, "cli")
    return store


@pytest.fixture
def sign_in(store: MemoryStore, clock: FixedClock) -> SignIn:
    return SignIn(
        store.accounts,
        passwords=Passwords(FAST),
        clock=clock,
        key=b"key",
    )


async def opened(sign_in: SignIn) -> str:
    found = await sign_in.with_password(" ANN ", PASSWORD, PEER)
    assert found is not None
    return found[0]


async def change(store: MemoryStore, **what: object) -> None:
    account = await store.accounts.find_account("ann")
    assert account is not None
    await store.accounts.change_account(replace(account, **what), "cli")  # type: ignore[arg-type]  # fields of Account


async def test_right_password_opens_a_session_and_another_secret_each_time(sign_in: SignIn) -> None:
    first, second = await opened(sign_in), await opened(sign_in)

    assert first != second
    for secret in (first, second):
        account = await sign_in.find(secret)
        assert account is not None
        assert account.name == "ann"


async def test_secret_is_stored_as_its_hash_only(sign_in: SignIn, store: MemoryStore) -> None:
    secret = await opened(sign_in)

    assert await store.accounts.find_session(secret) is None
    assert await store.accounts.find_session(hashlib.sha256(secret.encode()).hexdigest()) is not None


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "wrong"), ("ann", ""), ("bob", PASSWORD), ("", ""), ("ann", PASSWORD + "\0"), ("ann", "x" * 100_000)],
    ids=["wrong", "empty", "unknown", "nobody", "nul", "long"],
)
async def test_wrong_name_or_password_opens_nothing(sign_in: SignIn, name: str, password: str) -> None:
    assert await sign_in.with_password(name, password, PEER) is None


async def test_account_without_a_password_is_closed_to_every_password(sign_in: SignIn, store: MemoryStore) -> None:
    await change(store, password_hash="")

    for password in ("", "nobody", PASSWORD):
        assert await sign_in.with_password("ann", password, PEER) is None


async def test_disabled_account_neither_signs_in_nor_stays(sign_in: SignIn, store: MemoryStore) -> None:
    secret = await opened(sign_in)
    await change(store, is_disabled=True)

    assert await sign_in.find(secret) is None
    assert await sign_in.with_password("ann", PASSWORD, PEER) is None


async def test_session_ends_when_it_is_closed(sign_in: SignIn) -> None:
    secret = await opened(sign_in)
    await sign_in.close(secret)

    assert await sign_in.find(secret) is None
    assert await sign_in.find("") is None


async def test_session_ends_without_requests(sign_in: SignIn, clock: FixedClock) -> None:
    secret = await opened(sign_in)
    clock.advance(IDLE_HOURS * 3600 - 1)
    assert await sign_in.find(secret) is not None
    clock.advance(IDLE_HOURS * 3600 - 1)
    assert await sign_in.find(secret) is not None
    clock.advance(IDLE_HOURS * 3600)

    assert await sign_in.find(secret) is None


async def test_session_ends_after_a_day_however_busy(sign_in: SignIn, clock: FixedClock) -> None:
    secret = await opened(sign_in)
    for _ in range(SESSION_HOURS - 1):
        clock.advance(3600)
        assert await sign_in.find(secret) is not None
    clock.advance(3600)

    assert await sign_in.find(secret) is None


async def test_guesses_wait_twice_as_long_each_time_even_for_the_right_password(
    sign_in: SignIn, clock: FixedClock
) -> None:
    for _ in range(5):
        assert await sign_in.with_password("ann", "wrong", PEER) is None
    with pytest.raises(TooManyTries):
        await sign_in.with_password("ann", PASSWORD, "198.51.100.1")

    clock.advance(2)
    assert await sign_in.with_password("ann", "wrong", PEER) is None
    clock.advance(3)
    with pytest.raises(TooManyTries):
        await sign_in.with_password("ann", PASSWORD, PEER)
    clock.advance(1)

    assert await sign_in.with_password("ann", PASSWORD, PEER) is not None
    assert await sign_in.with_password("ann", "wrong", PEER) is None
    assert await sign_in.with_password("ann", PASSWORD, PEER) is not None


async def test_one_network_that_guesses_many_accounts_waits_too(sign_in: SignIn) -> None:
    for n in range(21):
        assert await sign_in.with_password(f"user{n}", "wrong", f"2001:db8::{n:x}") is None

    with pytest.raises(TooManyTries):
        await sign_in.with_password("ann", PASSWORD, "2001:db8::ffff")
    assert await sign_in.with_password("ann", PASSWORD, "2001:db8:1::1") is not None


def test_waits_grow_and_end() -> None:
    waits = [wait_after(n) for n in range(30)]

    assert waits[:5] == [0.0] * 5
    assert waits[5:8] == [2.0, 4.0, 8.0]
    assert waits == sorted(waits)
    assert max(waits) == 900.0


@pytest.mark.parametrize(
    ("peer", "network"),
    [("192.0.2.7", "192.0.2.7"), ("2001:db8::1", "2001:db8::/64"), ("unix", "unix")],
)
def test_network_is_what_one_client_has(peer: str, network: str) -> None:
    assert network_of(peer) == network


async def test_form_token_belongs_to_one_session(sign_in: SignIn) -> None:
    one, two = await opened(sign_in), await opened(sign_in)

    assert sign_in.is_form_token(one, sign_in.form_token(one))
    assert not sign_in.is_form_token(two, sign_in.form_token(one))
    assert not sign_in.is_form_token(one, "")
    assert not sign_in.is_form_token(one, "\udcff")
    assert one not in sign_in.form_token(one)


async def test_outdated_hash_is_replaced_at_sign_in(store: MemoryStore, clock: FixedClock) -> None:
    stronger = Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    accounts = store.accounts
    sign_in = SignIn(accounts, passwords=stronger, clock=clock, key=b"key")
    before = await accounts.find_account("ann")
    secret = await opened(sign_in)
    after = await accounts.find_account("ann")

    assert before is not None
    assert after is not None
    assert before.password_hash != after.password_hash
    assert not stronger.is_outdated(after.password_hash)
    assert await sign_in.find(secret) is not None


async def test_link_signs_in_once_and_is_no_session_itself(sign_in: SignIn, store: MemoryStore) -> None:
    account = await store.accounts.find_account("ann")
    assert account is not None
    secret = await sign_in.link(account)
    assert await sign_in.find(secret) is None

    opened = await sign_in.with_link(secret)

    assert opened is not None
    assert await sign_in.find(opened[0]) == account
    assert await sign_in.with_link(secret) is None


async def test_link_expires_and_is_not_for_the_disabled(sign_in: SignIn, store: MemoryStore, clock: FixedClock) -> None:
    account = await store.accounts.find_account("ann")
    assert account is not None
    late = await sign_in.link(account)
    clock.advance(LINK_MINUTES * 60)
    assert await sign_in.with_link(late) is None

    secret = await sign_in.link(account)
    await change(store, is_disabled=True)
    assert await sign_in.with_link(secret) is None
    assert await sign_in.with_link("") is None

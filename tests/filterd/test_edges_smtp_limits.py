"""Networks, session counts and the memory budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.networks import Networks
from filterd.edges.limits import Budget, Sessions


@pytest.mark.parametrize(
    ("address", "is_in"),
    [
        ("127.0.0.1", True),
        ("127.255.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("fe80::1%eth0", True),
        ("128.0.0.1", False),
        ("::2", False),
        ("", False),
        ("localhost", False),
        ("127.0.0.1.evil", False),
    ],
)
def test_networks(address: str, is_in: object) -> None:
    networks = Networks(("127.0.0.0/8", "::1", "fe80::/10"))

    assert (address in networks) is is_in
    assert (address in networks) is is_in


def test_networks_remember_no_more_than_they_should() -> None:
    networks = Networks(("10.0.0.0/8",))
    for i in range(5000):
        assert f"10.0.{i // 250}.{i % 250}" in networks

    assert len(networks._known) <= 1024


def test_sessions_forget_addresses_that_have_left() -> None:
    sessions = Sessions(10, 2)
    assert [sessions.enter_address("a") for _ in range(3)] == [True, True, False]
    sessions.leave_address("a")
    assert sessions.enter_address("a")
    sessions.leave_address("a")
    sessions.leave_address("a")

    assert not sessions._by_address


@given(sizes=st.lists(st.integers(1, 300_000), max_size=20))
def test_budget_is_never_exceeded_and_all_comes_back(sizes: list[int]) -> None:
    budget, limit, held = Budget(500_000), 500_000, []
    for size in sizes:
        reserved: int | None = 0
        for grown in range(0, size + 60_000, 60_000):
            after = budget.grow(reserved or 0, grown)
            if after is None:
                break
            reserved = after
            assert reserved >= grown
        held.append(reserved or 0)
        assert budget.used <= limit or len(held) == 1
    for reserved in held:
        budget.release(reserved)

    assert budget.used == 0


def test_budget_takes_one_message_however_large() -> None:
    budget = Budget(10)

    assert budget.has_room(1000)
    assert budget.grow(0, 1000) == 1000
    assert not budget.has_room(1)
    assert budget.grow(0, 1) is None

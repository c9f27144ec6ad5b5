"""Near copies are one campaign, by its first message."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.campaigns import leaders
from filterd.core.near import NEAR_BITS, is_near

FIRST, SECOND = (np.random.default_rng(n).bytes(32).hex() for n in (1, 2))
SHORT = "=0123456789abcdef"


def flipped(text: str, bits: int, above: int = 0) -> str:
    """``text`` with so many bits turned over, those ``above`` the lowest."""
    return f"{int(text, 16) ^ (((1 << bits) - 1) << above):064x}"


def test_near_copies_are_one_campaign_and_short_texts_only_when_equal() -> None:
    found = leaders([FIRST, SECOND, flipped(FIRST, 3), "", "", SHORT, SHORT, "=0123456789abcdee", flipped(SECOND, 3)])

    assert found.tolist() == [0, 1, 0, 3, 4, 5, 5, 7, 1]


def test_near_copy_of_a_near_copy_is_a_campaign_of_its_own_where_it_is_far_from_the_first() -> None:
    near, far = flipped(FIRST, NEAR_BITS), flipped(FIRST, 2 * NEAR_BITS)

    assert leaders([FIRST, near, far, flipped(FIRST, NEAR_BITS + 1)]).tolist() == [0, 0, 2, 2]
    assert is_near(near, far)


def test_opposite_fingerprints_are_far() -> None:
    assert leaders(["0" * 64, "f" * 64]).tolist() == [0, 1]


def test_no_messages_are_no_campaigns() -> None:
    assert leaders([]).tolist() == []


TEXTS = st.one_of(
    st.sampled_from(["", SHORT, "=fedcba9876543210", FIRST]),
    st.tuples(st.sampled_from([FIRST, SECOND]), st.integers(0, 120), st.integers(0, 130)).map(lambda t: flipped(*t)),
)


@given(texts=st.lists(TEXTS, max_size=30))
def test_leader_is_the_first_leader_that_is_near(texts: list[str]) -> None:
    leading: list[int] = []
    wanted = []
    for position, text in enumerate(texts):
        near = [other for other in leading if is_near(text, texts[other])]
        wanted.append(near[0] if near else position)
        if not near:
            leading.append(position)

    assert leaders(texts).tolist() == wanted

"""What a threshold would have done, counted."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
from hypothesis import given

from filterd.core.threshold_preview import POSITIONS, Judged, Outlook, outlooks
from filterd.core.verdict import Label

PAST = (
    Judged(probability=0.2),
    Judged(probability=0.4, label=Label.SPAM),
    Judged(probability=0.9, was_released=True),
    Judged(probability=0.9, label=Label.HAM),
    Judged(probability=0.95, was_released=True, label=Label.SPAM),
    Judged(probability=0.99),
)


def test_outlook_counts_held_wanted_and_missed() -> None:
    low, at, high = outlooks(PAST, (0.3, 0.9, 0.999))

    assert low == Outlook(threshold=0.3, held=5, held_wanted=2, passed_spam=0, total=6)
    assert at == Outlook(threshold=0.9, held=4, held_wanted=2, passed_spam=1, total=6)
    assert high == Outlook(threshold=0.999, held=0, held_wanted=0, passed_spam=2, total=6)


def test_outlook_of_nothing_is_nothing() -> None:
    assert {(one.held, one.total) for one in outlooks(())} == {(0, 0)}


messages = st.builds(
    Judged,
    probability=st.floats(0, 1),
    label=st.none() | st.sampled_from(list(Label)),
    was_released=st.booleans(),
)


@given(st.lists(messages))
def test_higher_threshold_holds_no_more_and_passes_no_less(past: list[Judged]) -> None:
    found = outlooks(past)

    assert [one.threshold for one in found] == sorted(POSITIONS)
    for lower, higher in itertools.pairwise(found):
        assert lower.held >= higher.held >= higher.held_wanted
        assert lower.held_wanted >= higher.held_wanted
        assert lower.passed_spam <= higher.passed_spam

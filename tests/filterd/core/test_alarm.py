"""When people's complaints are too many to be chance."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.alarm import Record, alarm, at_least

COUNTS = st.integers(0, 400)


def record(total: int = 1000, wrongly: int = 0, missed: int = 0) -> Record:
    return Record(held=total // 5, wrongly_held=wrongly, passed=total - total // 5, missed=missed)


@pytest.mark.parametrize(
    ("newer", "older", "is_alarm"),
    [
        (record(), record(), False),
        (record(wrongly=4), record(), False),
        (record(wrongly=12), record(), True),
        (record(missed=12), record(), True),
        (record(wrongly=12), record(wrongly=10), False),
        (record(wrongly=12), record(total=100_000, wrongly=100), True),
        (record(total=50, wrongly=12), record(total=1000, wrongly=1), True),
        (record(wrongly=12), record(total=0), False),
        (record(wrongly=0, missed=0), record(wrongly=100, missed=100), False),
    ],
)
def test_alarm_is_raised_where_chance_cannot_explain_the_complaints(
    newer: Record,
    older: Record,
    is_alarm: bool,  # noqa: FBT001  # a parameter of the table
) -> None:
    found = alarm(newer, older)

    assert bool(found) is is_alarm
    if is_alarm:
        assert f"of {newer.held + newer.passed} messages were" in found


def test_chance_is_fisher_s() -> None:
    # The lady tasting tea: 3 or more of 4 right.
    assert at_least(3, 4, 1, 4) == pytest.approx(17 / 70)


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_chance_is_a_probability_and_certain_from_nothing_on(count: int, more: int, reference: int, rest: int) -> None:
    total, before = count + more, reference + rest

    assert 0 <= at_least(count, total, reference, before) <= 1
    assert math.isclose(at_least(0, total, reference, before), 1.0, abs_tol=1e-9)

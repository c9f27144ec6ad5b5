"""Exact binomial bounds, against values from tables."""

from __future__ import annotations

import pytest

from filterd.core.bounds import clopper_pearson


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(0, 10, 0.0, 0.30850), (1, 10, 0.00253, 0.44502), (5, 10, 0.18709, 0.81291), (10, 10, 0.69150, 1.0)],
)
def test_bounds_are_those_of_the_tables(part: int, whole: int, low: float, high: float) -> None:
    assert clopper_pearson(part, whole, 0.95) == pytest.approx((low, high), abs=1e-5)


def test_nothing_wrong_in_many_is_the_rule_of_three_and_a_bit() -> None:
    low, high = clopper_pearson(0, 3_000, 0.95)

    assert low == 0
    assert high == pytest.approx(3.689 / 3_000, rel=0.01)


def test_bounds_of_large_counts_hold_the_share() -> None:
    low, high = clopper_pearson(400_000, 1_000_000, 0.975)

    assert 0.398 < low < 0.4 < high < 0.402


def test_nothing_counted_is_anything() -> None:
    assert clopper_pearson(0, 0, 0.95) == (0.0, 1.0)

"""Calibration and thresholds, on cases small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.metrics import upper_bound
from trainer.reliability import brier, ece, reliability, safe_threshold, transfer


def test_brier_when_counted_by_hand_then_it_agrees():
    assert brier(np.array([0.0, 0.5, 1.0, 0.2]), np.array([0.0, 1.0, 1.0, 1.0])) == pytest.approx((0.25 + 0.64) / 4)


def test_ece_when_every_probability_is_what_it_says_then_it_is_nought():
    probabilities = np.repeat([0.2, 0.8], 10)
    labels = np.array([1, 1] + [0] * 8 + [1] * 8 + [0, 0], float)

    assert ece(probabilities, labels, bins=4) == pytest.approx(0, abs=1e-12)


def test_ece_when_two_bins_are_a_tenth_and_three_tenths_off_then_it_is_their_mean():
    probabilities = np.array([0.1] * 10 + [0.7] * 10)
    labels = np.array([0.0] * 10 + [1.0] * 10)

    assert ece(probabilities, labels, bins=2) == pytest.approx(0.2)


@given(st.permutations(range(12)))
def test_ece_when_messages_of_one_probability_change_places_then_it_stays(order):
    probabilities = np.full(12, 0.5)
    labels = np.array([0, 1] * 6, float)[list(order)]

    assert ece(probabilities, labels, bins=5) == pytest.approx(0)


def test_reliability_when_there_are_fewer_messages_than_bins_then_no_bin_is_empty():
    means, shares, masses = reliability(np.array([0.2, 0.9]), np.array([0.0, 1.0]), bins=15)

    assert list(means) == [0.2, 0.9]
    assert list(shares) == [0.0, 1.0]
    assert masses.sum() == pytest.approx(1)


def test_safe_threshold_when_the_ham_is_too_few_then_none_is_safe():
    assert safe_threshold(np.linspace(0, 1, 100), 0.01) == np.inf


@given(st.integers(300, 900), st.sampled_from([0.01, 0.02, 0.05]))
def test_safe_threshold_when_there_is_enough_ham_then_it_is_the_lowest_whose_bound_keeps_the_budget(count, budget):
    ham = np.arange(count, dtype=float)

    threshold = safe_threshold(ham, budget)
    lost = int((ham >= threshold).sum())

    assert upper_bound(lost, count) <= budget
    assert upper_bound(lost + 1, count) > budget


def test_transfer_when_later_ham_scores_higher_then_the_ratio_says_how_much_more_is_lost():
    found = transfer(np.arange(1000.0), np.arange(1000.0) + 20, 0.02)

    assert found.realised == pytest.approx((found.threshold <= np.arange(1000.0) + 20).mean())
    assert found.ratio > 1.5

"""The figures, on cases small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.metrics import one_minus_roca, rates, spam_missed_at, upper_bound, weighted_threshold

_SCORES = st.lists(st.floats(-10, 10), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("ham", "spam", "expected"),
    [
        pytest.param([0, 1], [2, 3], 0.0, id="apart"),
        pytest.param([2, 3], [0, 1], 100.0, id="upside down"),
        pytest.param([1], [1], 50.0, id="a tie counts half"),
        pytest.param([0, 2], [1, 3], 25.0, id="one pair of four is wrong"),
    ],
)
def test_one_minus_roca_when_counted_by_hand_then_it_agrees(ham, spam, expected):
    assert one_minus_roca(np.array(ham, float), np.array(spam, float)) == pytest.approx(expected)


def test_one_minus_roca_when_a_label_is_missing_then_it_is_not_a_number():
    assert np.isnan(one_minus_roca(np.array([1.0]), np.array([])))


@given(_SCORES, st.floats(0, 1))
def test_weighted_threshold_when_any_budget_is_given_then_it_is_kept_and_is_the_lowest(scores, budget):
    values = np.array(scores)
    weights = np.ones(len(values))

    threshold = weighted_threshold(values, weights, budget)
    lower = np.nextafter(threshold, -np.inf)

    assert (values >= threshold).mean() <= budget + 1e-12
    assert threshold == values.min() or (values >= lower).mean() > budget


def test_spam_missed_at_when_one_corpus_is_large_then_each_still_counts_the_same():
    scores = np.array([0.0] * 100 + [1.0] * 20 + [9.0] * 200)
    labels = np.array([0.0] * 100 + [1.0] * 220)
    corpora = np.array(["a"] * 100 + ["b"] * 20 + ["c"] * 200)
    scores[100:120] = -1

    assert spam_missed_at(scores, labels, corpora, ham_loss=0.005) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("lost", "total", "expected"),
    [(0, 3000, 0.001), (0, 299, 0.00997), (1, 100, 0.0466), (5, 5, 1.0), (0, 0, 1.0)],
)
def test_upper_bound_when_compared_with_tables_then_it_agrees(lost, total, expected):
    assert upper_bound(lost, total) == pytest.approx(expected, abs=5e-5)


def test_rates_when_a_probability_equals_the_threshold_then_it_is_held():
    counts = rates(np.array([0.5, 0.4, 0.5, 0.9]), np.array([0, 0, 1, 1]), 0.5)

    assert counts == {"ham": 2, "ham_lost": 1, "spam": 2, "spam_caught": 2}

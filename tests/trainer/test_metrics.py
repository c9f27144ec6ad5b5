"""The figures, on cases small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.metrics import (
    accuracy,
    cost,
    f1,
    hm,
    lam,
    mcc,
    one_minus_roca,
    rates,
    sm,
    sm_at_hm,
    spam_missed_at,
    upper_bound,
    weighted_threshold,
)

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


HAM = np.array([0.1, 0.2, 0.3, 0.6])
SPAM = np.array([0.2, 0.7, 0.8, 0.9, 0.9])
COUNTS = {"ham": 90, "ham_lost": 5, "spam": 10, "spam_caught": 8}


def test_hm_and_sm_when_counted_by_hand_then_a_score_at_the_threshold_is_held():
    assert hm(HAM, 0.6) == 25.0
    assert sm(SPAM, 0.7) == 20.0


def test_lam_when_hm_is_a_tenth_and_sm_a_half_then_it_is_a_quarter():
    ham, spam = np.array([1.0] + [0.0] * 9), np.array([1.0, 0.0])

    # logit(.1) = -ln 9 and logit(.5) = 0, so their mean is -ln 3; with log10 it would come out at 38.3.
    assert lam(ham, spam, 0.5) == pytest.approx(25.0)


def test_lam_when_nothing_is_wrong_then_the_rates_are_clipped_at_half_a_message():
    ham, spam = np.zeros(50), np.ones(50)

    assert lam(ham, spam, 0.5) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        pytest.param(0.0, 20.0, id="above every ham"),
        pytest.param(0.24, 20.0, id="a quarter is not allowed"),
        pytest.param(0.5, 20.0, id="two of four, and a spam ties with a ham"),
        pytest.param(0.75, 0.0, id="three of four"),
    ],
)
def test_sm_at_hm_when_counted_by_hand_then_it_is_the_smallest_within_the_budget(budget, expected):
    assert sm_at_hm(HAM, SPAM, budget) == expected


def test_figures_of_one_label_when_it_is_missing_then_they_are_not_numbers():
    none = np.array([])

    assert all(np.isnan(value) for value in (hm(none, 0), sm(none, 0), lam(none, SPAM, 0), sm_at_hm(HAM, none, 0.1)))


def test_accuracy_f1_and_mcc_when_counted_by_hand_then_they_agree():
    assert accuracy(COUNTS) == pytest.approx(0.93)
    assert f1(COUNTS) == pytest.approx(16 / 23)
    assert mcc(COUNTS) == pytest.approx((8 * 85 - 5 * 2) / np.sqrt(13 * 10 * 90 * 87))


def test_mcc_when_nothing_is_held_then_it_is_nought():
    assert mcc({"ham": 9, "ham_lost": 0, "spam": 1, "spam_caught": 0}) == 0


@pytest.mark.parametrize(("weight", "expected"), [(1, 0.07), (9, 0.47), (99, 4.97)])
def test_cost_when_a_ham_counts_more_then_its_loss_does(weight, expected):
    assert cost(COUNTS, weight) == pytest.approx(expected)

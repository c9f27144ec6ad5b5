"""Intervals hold what they promise, and hand-made cases come out as on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trainer.intervals import Bootstrap, caught_at, mcnemar, rate
from trainer.metrics import one_minus_roca


def drawn(count: int, seed: int, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and scores whose spam lies ``gap`` standard deviations above the ham."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 0.4).astype(np.float64)
    return labels, rng.normal(size=count) + gap * labels


def test_one_minus_rocas_when_a_resample_is_counted_pair_by_pair_then_it_is_the_same():
    labels, scores = drawn(60, 1, 1.0)
    scores = scores.round(1)  # ties
    clusters = np.arange(60, dtype=np.int64) // 3
    bootstrap = Bootstrap(labels, clusters, resamples=5, seed=3)

    found = bootstrap.one_minus_rocas(scores)

    for resample in range(5):
        weights = np.array([bootstrap._counts[cluster, resample] for cluster in clusters])
        confused = total = 0.0
        for i in np.flatnonzero(labels == 0):
            for j in np.flatnonzero(labels == 1):
                pair = weights[i] * weights[j]
                total += pair
                confused += pair * (float(scores[i] > scores[j]) + float(scores[i] == scores[j]) / 2)
        assert found[resample] == pytest.approx(100 * confused / total)


def test_roca_when_tests_are_drawn_again_then_nine_in_ten_intervals_hold_the_truth():
    truth = 100 * (1 - 0.5 * (1 + math.erf(1.5 / 2)))  # two normal distributions 1.5 apart: 1 - Phi(1.5 / sqrt 2)

    held = 0
    for seed in range(60):
        labels, scores = drawn(300, seed, 1.5)
        interval = Bootstrap(labels, np.arange(300, dtype=np.int64), resamples=200).roca(scores)
        held += interval.low <= truth <= interval.high

    assert held >= 54


def test_roca_when_every_message_is_there_four_times_then_clusters_keep_the_interval_wide():
    labels, scores = (np.repeat(each, 4) for each in drawn(100, 5, 1.5))
    alone = Bootstrap(labels, np.arange(400, dtype=np.int64)).roca(scores)
    together = Bootstrap(labels, np.arange(400, dtype=np.int64) // 4).roca(scores)

    assert together.estimate == alone.estimate == one_minus_roca(scores[labels < 0.5], scores[labels > 0.5])
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_roca_when_no_pair_is_confused_then_the_upper_end_is_that_of_few_messages():
    labels = np.array([0.0] * 50 + [1.0] * 10)

    interval = Bootstrap(labels, np.arange(60, dtype=np.int64)).roca(labels)

    assert (interval.estimate, interval.low) == (0.0, 0.0)
    assert interval.high == pytest.approx(100 * (1 - 0.025**0.1))  # none of 10


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_roca_when_a_label_is_missing_then_it_is_no_number(label):
    interval = Bootstrap(np.full(5, label), np.arange(5, dtype=np.int64)).roca(np.arange(5.0))

    assert math.isnan(interval.estimate)
    assert not interval.excludes_zero


def test_difference_when_one_filter_is_better_then_the_interval_says_which():
    labels, good = drawn(800, 7, 2.5)
    poor = good + np.random.default_rng(8).normal(size=800) * 1.5
    bootstrap = Bootstrap(labels, np.arange(800, dtype=np.int64))

    assert bootstrap.difference(good, poor).high < 0
    assert bootstrap.difference(poor, good).low > 0


def test_difference_when_a_filter_is_beside_its_like_then_zero_stays_inside():
    labels, scores = drawn(300, 9, 1.5)
    bootstrap = Bootstrap(labels, np.arange(300, dtype=np.int64))

    interval = bootstrap.difference(scores, scores + np.random.default_rng(4).normal(size=300) * 0.05)

    assert not interval.excludes_zero


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    [(0, 20, 0.0, 0.16843), (5, 100, 0.01643, 0.11283), (20, 20, 0.83157, 1.0)],
)
def test_rate_when_compared_with_published_clopper_pearson_limits_then_they_agree(part, whole, low, high):
    interval = rate(part, whole)

    assert [interval.low, interval.high] == pytest.approx([low, high], abs=1e-5)
    assert interval.estimate == part / whole


def test_caught_at_when_a_tenth_of_the_ham_may_go_then_spam_above_the_second_ham_is_caught():
    scores = np.array([*range(10), 8.5, 7.5, 9.5], np.float64)
    labels = np.array([0.0] * 10 + [1.0] * 3)

    assert caught_at(scores, labels, 0.1).tolist() == [True, False, True]
    assert caught_at(scores, labels, 0.0).tolist() == [False, False, True]


def test_mcnemar_when_one_filter_alone_catches_nine_of_ten_then_p_is_the_binomial_s():
    first = np.array([True] * 9 + [False] + [True] * 50)
    second = np.array([False] * 9 + [True] + [True] * 50)

    assert mcnemar(first, second) == pytest.approx(2 * (1 + 10) / 1024)
    assert mcnemar(first, first) == 1.0

"""The linear path reaches its optimum by itself, and the blend believes each path as far as it deserves."""

from __future__ import annotations

import numpy as np
import pytest

from filterd.core.bundle import Hashing
from trainer.features import stack
from trainer.linear_path import FLOOR, LinearPath, Penalty, blend, choose, fit_linear, matrix

HASHING = Hashing(
    normalizer=1,
    seed=3,
    max_tokens=8,
    grams=2,
    token_buckets=20,
    max_wide=6,
    wide_buckets=30,
    side=("a",),
)


def message(words: list[list[int]], wide: list[int]):
    return np.array(words, np.int32), np.array(wide, np.int32), np.zeros(1, np.float32)


def test_matrix_when_features_are_counted_then_each_kind_has_length_one_over_its_root():
    encoded = stack([message([[3, 4], [3, 0]], [7, 9, 11, 12]), message([[5, 0]], [1])], HASHING)

    dense = matrix(encoded).toarray()

    assert dense.shape == (2, 50)
    assert dense[0, [7, 9, 11, 12]] == pytest.approx([0.5] * 4)
    assert dense[0, [33, 34]] == pytest.approx([2 / np.sqrt(3), 1 / np.sqrt(3)])
    assert dense[1, [1, 35]] == pytest.approx([1.0, 1.0])
    assert np.count_nonzero(dense) == 8


def test_fit_linear_when_one_feature_tells_the_labels_apart_then_it_carries_the_weight():
    rng = np.random.default_rng(5)
    labels = np.tile([0, 1], 100).astype(np.float32)
    rows = [message([[3, 4]], [1 + int(label), int(rng.integers(5, 30))]) for label in labels]
    encoded = stack(rows, HASHING)

    (path,) = fit_linear(encoded, labels, np.ones(200), ham_weight=1.0)
    logits = path.logits(encoded)

    assert path.wide[2] > 1.0 > -1.0 > path.wide[1]
    assert ((logits > 0) == (labels > 0.5)).all()


def test_fit_linear_when_rarity_counts_then_a_rare_word_of_spam_weighs_more_and_the_logits_are_those_of_its_weights():
    labels = np.tile([0, 1], 200).astype(np.float32)
    rows = [message([[3, 0]], [9 if i in {1, 3} else 1 + int(label)]) for i, label in enumerate(labels)]
    encoded = stack(rows, HASHING)

    plain, rare = fit_linear(
        encoded,
        labels,
        np.ones(400),
        ham_weight=1.0,
        penalties=[Penalty(strength=1.0, rarity=0), Penalty(strength=1.0, rarity=2)],
    )

    assert rare.wide[9] / rare.wide[2] > 2 * plain.wide[9] / plain.wide[2] > 0
    assert rare.logits(encoded)[1] == pytest.approx(rare.wide[9] + rare.grams[3] + rare.bias, rel=1e-5)


def test_choose_when_one_path_fits_the_validation_part_best_then_it_is_the_one_blended():
    rng = np.random.default_rng(9)
    labels = np.tile([0, 1], 200).astype(np.float32)
    encoded = stack([message([[3, 0]], [1 + int(label)]) for label in labels], HASHING)
    wide = np.zeros((3, HASHING.wide_buckets), np.float32)
    wide[0, [1, 2]], wide[1, [1, 2]], wide[2, [1, 2]] = [0.1, -0.1], [-1, 1], [1, 1]
    paths = [LinearPath(wide=each, grams=np.zeros(HASHING.token_buckets, np.float32), bias=0.0) for each in wide]

    path, shares = choose(paths, encoded, rng.normal(size=400), labels, np.ones(400))

    assert path is paths[1]
    assert shares.linear > 1 > abs(shares.deep)


@pytest.mark.parametrize(("better", "worse"), [("deep", "linear"), ("linear", "deep")])
def test_blend_when_one_path_knows_more_then_it_counts_more(better, worse):
    rng = np.random.default_rng(6)
    labels = np.tile([0.0, 1.0], 300)
    paths = {better: 4 * labels - 2 + rng.normal(size=600), worse: rng.normal(size=600)}

    shares = blend(paths["deep"], paths["linear"], labels, np.ones(600))

    assert getattr(shares, better) > 0.5
    assert 0 <= getattr(shares, worse) < 0.3


def test_blend_when_a_path_is_wrong_on_everything_then_it_is_left_out():
    labels = np.tile([0.0, 1.0], 300)
    deep = 3 * labels - 1.5 + np.random.default_rng(7).normal(size=600)

    shares = blend(deep, -deep, labels, np.ones(600))

    assert shares.linear == 0
    assert shares.deep > 0.5


def test_blend_when_ham_words_pile_up_then_the_floor_hides_them():
    labels = np.tile([0.0, 1.0], 300)
    deep = 3 * labels - 1.5 + np.random.default_rng(8).normal(size=600)
    linear = np.where(labels > 0.5, 1.0, -1.0)

    deeper = np.where(linear < 0, linear + 100 * FLOOR, linear)
    at_floor = np.where(linear < 0, FLOOR, linear)

    assert blend(deep, deeper, labels, np.ones(600)) == blend(deep, at_floor, labels, np.ones(600))

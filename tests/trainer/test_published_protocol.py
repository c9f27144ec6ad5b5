"""Both ways to divide a corpus, the leak of the published one, and the figures, against cases made by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from trainer.errors import CorpusError
from trainer.published import protocol
from trainer.published.config import SequenceConfig
from trainer.published.protocol import Division
from trainer.published.texts import Texts
from trainer.recipe import find


def texts_of(texts: list[str], labels: list[int], tests: list[int] | None = None) -> Texts:
    return Texts(
        texts=tuple(texts),
        labels=np.array(labels, bool),
        groups=np.array(["sms"] * len(texts)),
        is_test=np.array(tests or [0] * len(texts), bool),
        classes=("ham", "spam"),
    )


def many(count: int) -> Texts:
    """Every text five times, its digits changed, so that five are one cluster."""
    rng = np.random.default_rng(3)
    words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 12)) for _ in range(count)]
    return texts_of([f"{word} {word[::-1]} {n}" for word in words for n in range(5)], [i % 2 for i in range(5 * count)])


@pytest.fixture
def random_split() -> SequenceConfig:
    return find("spatial-lstm").into(SequenceConfig)


@pytest.fixture
def own_split() -> SequenceConfig:
    return find("bilstm").into(SequenceConfig)


def test_published_when_a_share_is_named_then_rows_are_drawn_whatever_they_say(random_split):
    texts = many(40)

    division = protocol.published(texts, random_split)
    clusters = protocol.clusters_of(texts)

    assert len(division.test) == 66
    assert sorted([*division.train, *division.test]) == list(range(200))
    assert set(clusters[division.test]) & set(clusters[division.train])


def test_held_out_when_a_share_is_named_then_no_cluster_is_on_both_sides_and_each_counts_once(random_split):
    texts = many(40)
    clusters = protocol.clusters_of(texts)

    division = protocol.held_out(texts, clusters, random_split)

    assert not set(clusters[division.test]) & set(clusters[division.train])
    assert len(set(clusters[division.test])) == len(division.test) == 13
    assert len(division.train) == 200 - 5 * 13


def test_held_out_when_the_corpus_has_a_test_part_then_only_repeats_of_training_are_left_out(own_split):
    long = "a dull story with wooden acting and no ending to speak of at all"
    rows = [(long, 0, 0), ("fine work by everybody who was there", 1, 0), (f"{long}!", 0, 1)]
    rows += [("a rare joy to behold and to hear", 1, 1), ("they should have stayed at home", 0, 1)]
    texts = texts_of(*map(list, zip(*rows, strict=True)))

    division = protocol.held_out(texts, protocol.clusters_of(texts), own_split)

    assert division.train.tolist() == [0, 1]
    assert division.test.tolist() == [3, 4]


def test_published_when_a_part_has_one_label_then_it_is_refused(own_split):
    with pytest.raises(CorpusError, match="test part has no row of some label"):
        protocol.published(texts_of(list("abcd"), [0, 1, 1, 1], [0, 0, 1, 1]), own_split)


def test_published_when_the_seed_differs_then_the_split_does(random_split):
    other = replace(random_split, fit=replace(random_split.fit, seed=8))

    assert protocol.published(many(40), random_split).test.tolist() != protocol.published(many(40), other).test.tolist()


def test_leak_when_test_rows_repeat_training_rows_then_they_are_counted_apart():
    texts = texts_of(["a", "b", "a", "c", "d"], [0, 1, 0, 1, 0])
    division = Division(train=np.array([0, 1]), test=np.array([2, 3, 4]))

    found = protocol.leak(texts, division, np.array([0.1, 0.2, 0.3]))

    assert found == {"sms": {"rows": 3, "seen": 1, "accuracy_seen": 1.0, "accuracy_unseen": 0.5}}


def test_figures_when_counted_by_hand_then_they_are_these():
    probabilities = np.array([0.9, 0.8, 0.4, 0.6, 0.2, 0.1, 0.1, 0.0])
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)

    found = protocol.figures(probabilities, labels, 0.5)

    assert (found["ham"], found["ham_lost"], found["spam"], found["spam_caught"]) == (5, 1, 3, 2)
    assert found["accuracy"] == 6 / 8
    assert found["ham_loss"] == 1 / 5
    assert found["spam_catch"] == 2 / 3
    assert found["mcc"] == pytest.approx((2 * 4 - 1 * 1) / math.sqrt(3 * 3 * 5 * 5))
    assert found["one_minus_roca_percent"] == pytest.approx(100 / 15)


def test_matthews_when_the_decision_never_varies_then_it_is_zero():
    assert protocol.matthews(caught=3, lost=5, missed=0, passed=0) == 0


def test_interval_when_all_are_right_then_it_ends_below_one_sided_certainty():
    low, high = protocol.interval(10, 10)

    assert low == pytest.approx(0.7225, abs=1e-4)
    assert high == pytest.approx(1)

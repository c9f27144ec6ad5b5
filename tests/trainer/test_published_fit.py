"""Batches hold every row once, and little padding where padding is masked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from trainer.published.config import Cell, SequenceConfig
from trainer.published.fit import Rows, batches
from trainer.recipe import find

pytestmark = pytest.mark.filterwarnings("ignore")  # TensorFlow warns of its own insides when it is imported

LENGTHS = [3, 40, 1, 17, 5, 90, 2]


@pytest.fixture
def rows() -> Rows:
    """Texts that are told apart by their only id, the row's number and one more."""
    ids = [np.full(length, number, np.int32) for number, length in enumerate(LENGTHS, 1)]
    return Rows(ids=ids, labels=np.array([number % 2 for number in range(len(ids))], bool))


@pytest.fixture
def masked() -> SequenceConfig:
    return find("bilstm").into(SequenceConfig)


@pytest.mark.parametrize("shuffled", [False, True])
def test_batches_when_rows_do_not_fill_the_last_then_repeats_weigh_nothing(rows, masked, shuffled):
    made = list(batches(rows, masked, 3, np.random.default_rng(1) if shuffled else None))
    counted = Counter(
        (int(row.max()), float(label))
        for tokens, labels, weights in made
        for row, label, weight in zip(tokens, labels, weights, strict=True)
        if weight
    )

    assert counted == {(number + 1, float(number % 2)): 1 for number in range(len(LENGTHS))}
    assert {len(tokens) for tokens, _, _ in made} == {3}
    assert sum(weights.sum() for _, _, weights in made) == len(LENGTHS)


def test_batches_when_padding_is_masked_then_texts_of_like_length_share_one(rows, masked):
    widths = [tokens.shape[1] for tokens, _, _ in batches(rows, masked, 3)]

    assert widths == [3, 40, 90]


def test_batches_when_xla_compiles_every_width_then_there_are_few(rows, masked):
    layer = replace(masked.network.layers[0], cell=Cell.GRU)
    config = replace(masked, network=replace(masked.network, layers=(layer,)))

    assert [tokens.shape[1] for tokens, _, _ in batches(rows, config, 3)] == [32, 64, 96]


def test_batches_when_padding_is_a_step_then_all_have_the_recipe_s_length(rows):
    config = find("spatial-lstm").into(SequenceConfig)

    tokens = next(iter(batches(rows, config, 7)))[0]

    assert tokens.shape == (7, 280)
    assert (tokens[:, -1] > 0).all()

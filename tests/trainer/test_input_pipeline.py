"""Draws are balanced, and what is varied in training stays within what the model reads."""

from __future__ import annotations

import numpy as np
import pytest

from filterd.core.bundle import Hashing
from filterd.core.envelope import Channel
from trainer.example import Example, Label
from trainer.features import Encoded, stack
from trainer.input_pipeline import draw_weights, drawn, ordered

_HASHING = Hashing(
    normalizer=1, seed=1, max_tokens=40, grams=2, token_buckets=1000, max_wide=12, wide_buckets=1000, side=("a_b",)
)


def example(number: int, corpus: str, label: Label) -> Example:
    return Example(id=f"{number}", corpus=corpus, channel=Channel.SMS, label=label, raw=b"")


def messages(count: int) -> Encoded:
    """Message i holds the token i + 1 only, i % 40 + 1 times, and up to 12 wide features."""
    return stack(
        (
            (
                np.full((i % 40 + 1, 2), i + 1, np.int32),
                np.arange(1, min(i % 40, 11) + 2, dtype=np.int32),
                np.zeros(1, np.float32),
            )
            for i in range(count)
        ),
        _HASHING,
    )


def test_draw_weights_when_corpora_differ_in_size_then_labels_are_even_and_large_ones_tempered():
    made = [example(i, "large", Label.HAM) for i in range(900)] + [example(i, "small", Label.HAM) for i in range(100)]
    made += [example(i, "spam", Label.SPAM) for i in range(50)]

    weights = draw_weights(made, np.arange(len(made)))

    assert weights.sum() == pytest.approx(1)
    assert weights[1000:].sum() == pytest.approx(0.5)
    assert weights[:900].sum() / weights[900:1000].sum() == pytest.approx(3)


def test_draw_weights_when_a_campaign_repeats_then_it_counts_with_its_square_root():
    made = [example(i, "c", Label.SPAM if i < 125 else Label.HAM) for i in range(130)]
    clusters = np.array([0] * 100 + list(range(100, 130)))

    weights = draw_weights(made, clusters)

    assert weights[:100].sum() / weights[100] == pytest.approx(10)


def test_drawn_when_messages_are_varied_then_batches_are_full_and_within_the_model_s_reach():
    encoded = messages(60)
    labels = np.array([i % 2 for i in range(60)], np.float32)

    batches = list(drawn(encoded, labels, np.full(60, 1 / 60), count=640, batch=16, rng=np.random.default_rng(3)))
    foreign = [
        len(set(np.unique(tokens[:length, 0])) - {position + 1})
        for batch in batches
        for tokens, length, position in zip(batch.feeds["tokens"], batch.feeds["length"], batch.positions, strict=True)
    ]
    is_ham = np.concatenate([batch.labels for batch in batches]) < 0.5

    assert len(batches) == 40
    assert all(batch.feeds["length"].min() >= 1 and batch.feeds["length"].max() <= 40 for batch in batches)
    assert max(foreign) == 1
    assert not np.array(foreign)[is_ham].any()
    assert 0.05 < np.array(foreign)[~is_ham].mean() < 0.4


def test_ordered_when_everything_is_scored_then_each_message_comes_once():
    batches = list(ordered(messages(23), np.zeros(23, np.float32), 5))

    assert sorted(np.concatenate([batch.positions for batch in batches])) == list(range(23))

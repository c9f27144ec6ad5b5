"""Text becomes the ids that a recipe asks for, and the file it is kept in says all of it."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.errors import RecipeError
from trainer.published.config import Cleaning, Side, TextConfig, Unknown
from trainer.published.tokenizer import Tokenizer, inputs, padded, words_of

TEXTS = ["one two two three three three"]


@pytest.mark.parametrize(
    ("cleaning", "words"),
    [
        (Cleaning.LETTERS, ["its", "free", "call", "nowok"]),
        (Cleaning.SPACED, ["it's", "free", "call", "0800", "now", "ok"]),
        (Cleaning.STRIPPED, ["its", "free", "call", "0800", "nowok"]),
    ],
)
def test_words_of_when_text_has_punctuation_and_digits_then_each_cleaning_does_its_own(cleaning, words):
    assert words_of("It's FREE! Call 0800, now_ok", cleaning) == words


@pytest.mark.parametrize(
    ("fields", "words", "size"),
    [
        pytest.param({}, ("three", "two", "one"), 5, id="all"),
        pytest.param({"min_count": 2}, ("three", "two"), 4, id="frequent ones"),
        pytest.param({"ids": 3}, ("three",), 3, id="so many ids, padding and unknown included"),
        pytest.param({"ids": 3, "unknown": Unknown.DROP}, ("three", "two"), 3, id="without an id for unknown"),
    ],
)
def test_fit_when_the_vocabulary_is_bounded_then_the_most_frequent_words_stay(fields, words, size):
    tokenizer = Tokenizer.fit(TEXTS, TextConfig(cleaning=Cleaning.SPACED, length=9, **fields))

    assert tokenizer.words == words
    assert tokenizer.size == size


def test_fit_when_no_word_is_frequent_enough_then_the_key_to_change_is_named():
    with pytest.raises(RecipeError, match=r"lower text\.min_count"):
        Tokenizer.fit(TEXTS, TextConfig(cleaning=Cleaning.SPACED, length=9, min_count=4))


@pytest.mark.parametrize(
    ("unknown", "cut", "expected"),
    [
        (Unknown.KEEP, Side.RIGHT, [3, 1, 2]),
        (Unknown.KEEP, Side.LEFT, [2, 2, 4]),
        (Unknown.DROP, Side.RIGHT, [2, 1, 1]),
    ],
)
def test_ids_when_a_text_is_too_long_then_it_loses_words_at_the_named_end(unknown, cut, expected):
    config = TextConfig(cleaning=Cleaning.SPACED, length=3, unknown=unknown, cut=cut)
    tokenizer = Tokenizer.fit(TEXTS, config)

    assert tokenizer.ids(["two zero three three one"])[0].tolist() == expected


def test_ids_when_no_word_is_known_then_the_text_is_empty():
    config = TextConfig(cleaning=Cleaning.SPACED, length=3, unknown=Unknown.DROP)

    assert Tokenizer.fit(TEXTS, config).ids(["zero", ""])[1].tolist() == []


def test_inputs_when_padding_is_a_step_then_it_stands_where_it_stood_in_training():
    config = TextConfig(cleaning=Cleaning.SPACED, length=4, padding=Side.LEFT)
    rows = [np.array([5, 6], np.int32), np.array([], np.int32)]

    assert {name: value.tolist() for name, value in inputs(rows, config).items()} == {
        "tokens": [[0, 0, 5, 6], [0, 0, 0, 0]]
    }


@pytest.mark.parametrize("side", Side)
def test_inputs_when_padding_is_masked_then_it_stands_on_the_right_with_lengths(side):
    config = TextConfig(cleaning=Cleaning.SPACED, length=9, padding=side, is_masked=True)
    rows = [np.array([5, 6], np.int32), np.array([7], np.int32), np.array([], np.int32)]

    feeds = inputs(rows, config)

    assert feeds["tokens"].tolist() == [[5, 6], [7, 0], [0, 0]]
    assert feeds["length"].tolist() == [2, 1, 0]


def test_padded_when_on_the_left_then_words_end_the_row():
    assert padded([np.array([1, 2], np.int32)], 3, Side.LEFT).tolist() == [[0, 1, 2]]


def test_to_json_when_read_again_then_it_is_the_same_tokenizer():
    config = TextConfig(
        cleaning=Cleaning.LETTERS, length=7, padding=Side.LEFT, cut=Side.LEFT, unknown=Unknown.DROP, is_masked=True
    )
    tokenizer = Tokenizer.fit(["naïve text"], config)

    again = Tokenizer.from_json(tokenizer.to_json())

    assert again == tokenizer
    assert again.ids(["naïve"])[0].tolist() == tokenizer.ids(["naïve"])[0].tolist()

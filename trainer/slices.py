"""Which slices a message belongs to: its channel, its script, its language where that is known, and its length."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_LETTERS_READ = 400
_CJK = frozenset({"cjk", "hiragana", "katakana", "hangul", "bopomofo"})
_LENGTHS = ("short", "middle", "long")


def script_of(words: Sequence[str]) -> str:
    """The script that most letters of these words are of, in lower case; ``none`` without a letter."""
    letters = [letter for word in words if not word.startswith("<") for letter in word if letter.isalpha()]
    names = Counter(unicodedata.name(letter, "other").partition(" ")[0].lower() for letter in letters[:_LETTERS_READ])
    if not names:
        return "none"
    common = names.most_common(1)[0][0]
    return "cjk" if common in _CJK else common


def lengths_of(counts: Sequence[int]) -> list[str]:
    """Short, middle or long for each of these numbers of words: which third of them it lies in."""
    numbers: NDArray[np.int64] = np.array(counts, np.int64)
    if not len(numbers):
        return []
    first, second = np.quantile(numbers, (1 / 3, 2 / 3))
    return [_LENGTHS[int(number > first) + int(number > second)] for number in numbers]


def names_of(channel: str, script: str, language: str, length: str) -> tuple[str, ...]:
    """The names that one message's slices go by; an empty part is left out."""
    parts = (("script", script), ("language", language), ("length", length))
    return (channel, *(f"{what} {name}" for what, name in parts if name))

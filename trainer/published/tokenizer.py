"""From text to the ids that a published system reads; the file ``tokenizer.json`` says all of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.errors import RecipeError
from trainer.published.config import Cleaning, Side, TextConfig, Unknown

_NOT_LETTER = re.compile(r"(?:[^\s\w]|_|\d)+")
_SPACED = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))
_STRIPPED = str.maketrans(dict.fromkeys("!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"))

Ids = NDArray[np.int32]


def words_of(text: str, cleaning: Cleaning) -> list[str]:
    """The words of a text, in order."""
    if cleaning is Cleaning.LETTERS:
        return _NOT_LETTER.sub("", text).lower().split()
    table = _SPACED if cleaning is Cleaning.SPACED else _STRIPPED
    return text.lower().translate(table).split()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenizer:
    """A vocabulary and how it is used."""

    config: TextConfig
    words: tuple[str, ...]
    """Most frequent first; the first has id 2, or 1 where unknown words are dropped."""
    known: Mapping[str, int] = field(init=False, repr=False, compare=False)
    """Word -> id."""

    def __post_init__(self) -> None:
        known = {word: position for position, word in enumerate(self.words, _first(self.config))}
        object.__setattr__(self, "known", MappingProxyType(known))  # derived, so that it cannot disagree

    @classmethod
    def fit(cls, texts: Iterable[str], config: TextConfig) -> Tokenizer:
        """The vocabulary of the training texts. Raises RecipeError when no word is left."""
        counts = Counter(word for text in texts for word in words_of(text, config.cleaning))
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        kept = [word for word in ranked if counts[word] >= config.min_count]
        if config.ids:
            kept = kept[: config.ids - _first(config)]
        if not kept:
            raise RecipeError(f"no word occurs {config.min_count} times in the training texts; lower text.min_count")
        return cls(config=config, words=tuple(kept))

    @property
    def size(self) -> int:
        """Rows of the embedding."""
        return len(self.words) + _first(self.config)

    def ids(self, texts: Sequence[str]) -> list[Ids]:
        """int32[length] of each text, cut to the most words, not padded; a text may come out empty."""
        unknown = 1 if self.config.unknown is Unknown.KEEP else 0
        rows = []
        for text in texts:
            found = (self.known.get(word, unknown) for word in words_of(text, self.config.cleaning))
            rows.append(self._cut(np.array([each for each in found if each], np.int32)))
        return rows

    def _cut(self, row: Ids) -> Ids:
        most = self.config.length
        if not most or len(row) <= most:
            return row
        return row[:most] if self.config.cut is Side.RIGHT else row[-most:]

    def to_json(self) -> str:
        """``tokenizer.json``."""
        return json.dumps({**asdict(self.config), "words": self.words}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """Raises ValueError, TypeError or KeyError for anything else."""
        tree: dict[str, Any] = json.loads(text)
        words = tuple(tree.pop("words"))
        closed = {"cleaning": Cleaning, "unknown": Unknown, "padding": Side, "cut": Side}
        values: dict[str, Any] = {key: closed.get(key, _same)(value) for key, value in tree.items()}
        return cls(config=TextConfig(**values), words=words)


def _first(config: TextConfig) -> int:
    """Id of the most frequent word."""
    return 2 if config.unknown is Unknown.KEEP else 1


def _same(value: Any) -> Any:
    return value


def inputs(rows: Sequence[Ids], config: TextConfig) -> dict[str, Ids]:
    """What the graph reads: ``tokens`` int32[B, T], and ``length`` int32[B] where padding is masked.

    The graph knows lengths as prefixes. So masked padding always stands on the right here, whatever side the network
    was trained with: the steps it skips leave no trace in a recurrent state. Padding that is not masked is read as
    steps, stands where it stood in training, and every text has the full length.
    """
    if not config.is_masked:
        return {"tokens": padded(rows, config.length, config.padding)}
    lengths = np.array([len(row) for row in rows], np.int32)
    return {"tokens": padded(rows, max(1, int(lengths.max(initial=0))), Side.RIGHT), "length": lengths}


def padded(rows: Sequence[Ids], length: int, side: Side) -> Ids:
    """int32[B, length]: rows of at most ``length`` ids with zeros on ``side``."""
    out = np.zeros((len(rows), length), np.int32)
    for target, row in zip(out, rows, strict=True):
        start = 0 if side is Side.RIGHT else length - len(row)
        target[start : start + len(row)] = row
    return out

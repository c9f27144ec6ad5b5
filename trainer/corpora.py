"""A channel's corpora from disk to encoded examples with their splits: the first steps of the line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import Hashing
from trainer.config import TrainConfig
from trainer.features import Encoded, encode
from trainer.input_pipeline import labels_of
from trainer.prepare import Corpus, Split, assemble, capped
from trainer.sources.catalogue import sources_of

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A corpus with every example encoded as it would be served, position by position."""

    corpus: Corpus
    encoded: Encoded
    labels: NDArray[np.float32]
    names: NDArray[np.str_]
    """Corpus of each example."""
    unscannable: int

    def part(self, split: Split) -> tuple[Encoded, NDArray[np.float32], NDArray[np.str_]]:
        """Encoded messages, labels and corpora of a split."""
        where = self.corpus.where(split)
        return self.encoded.select(where), self.labels[where], self.names[where]


def prepare(config: TrainConfig, data: Path, jobs: int, say: Say, hashing: Hashing) -> Prepared:
    """Read a channel's corpora and divide them. Raises CorpusError."""
    sources = sources_of(config.channel)
    read = (example for source in sources for example in source.examples(data))
    examples = capped(read, config.split, config.sample)
    say(f"{len(examples)} examples read from {len(sources)} corpora")
    result = encode(examples, hashing, jobs=jobs)
    corpus = assemble(examples, result.texts, config.split)
    say(f"{len(np.unique(corpus.clusters))} clusters of near-duplicates; {len(result.unscannable)} unscannable")
    return Prepared(
        corpus=corpus,
        encoded=result.encoded,
        labels=labels_of(examples),
        names=np.array([example.corpus for example in examples]),
        unscannable=len(result.unscannable),
    )

"""A channel's corpora from disk to encoded examples with their splits: the first steps of the line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import Hashing
from trainer.config import TrainConfig
from trainer.features import Encoded, encode
from trainer.golden import CORPUS
from trainer.input_pipeline import labels_of
from trainer.prepare import Corpus, Split, assemble, capped
from trainer.sources.catalogue import Source, sources_of

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
    sources: tuple[Source, ...]
    """What was read."""

    def part(self, split: Split) -> tuple[Encoded, NDArray[np.float32], NDArray[np.str_]]:
        """Encoded messages, labels and corpora of a split."""
        where = self.corpus.where(split)
        return self.encoded.select(where), self.labels[where], self.names[where]


def prepare(
    config: TrainConfig,
    data: Path,
    jobs: int,
    say: Say,
    hashing: Hashing,
    *,
    sources: Sequence[Source] | None = None,
    held_back: frozenset[str] = frozenset(),
) -> Prepared:
    """Read a channel's corpora, or these ``sources``, and divide them. Raises CorpusError.

    ``held_back`` are ids of the corpus ``modern`` that no training may read, with their near-duplicates.
    """
    sources = sources_of(config.channel) if sources is None else sources
    read = (example for source in sources for example in source.examples(data))
    examples = capped(read, config.split, config.sample)
    say(f"{len(examples)} examples read from {len(sources)} corpora")
    result = encode(examples, hashing, jobs=jobs)
    corpus = _without(held_back, assemble(examples, result.texts, config.split))
    say(f"{len(np.unique(corpus.clusters))} clusters of near-duplicates; {len(result.unscannable)} unscannable")
    return Prepared(
        corpus=corpus,
        encoded=result.encoded,
        labels=labels_of(examples),
        names=np.array([example.corpus for example in examples]),
        unscannable=len(result.unscannable),
        sources=tuple(sources),
    )


def _without(held_back: frozenset[str], corpus: Corpus) -> Corpus:
    """The corpus with whole clusters moved to the test part, where one of their members is held back."""
    examples, clusters = corpus.examples, corpus.clusters
    kept = {int(c) for e, c in zip(examples, clusters, strict=True) if e.corpus == CORPUS and e.id in held_back}
    splits = (Split.TEST if int(c) in kept else s for s, c in zip(corpus.splits, clusters, strict=True))
    return replace(corpus, splits=tuple(splits))

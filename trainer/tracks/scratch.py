"""Networks trained for a track only: our architecture on one division of some corpora, measured as it would be served.

Nothing of the test is seen before it is scored: the epoch, the calibration and every threshold come from a part of the
training data.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from filterd.core.tokens import DEFAULT_HASHING
from filterd.inference.loaded import LoadedModel
from trainer import evaluate
from trainer.config import TrainConfig
from trainer.errors import CorpusError
from trainer.example import Example
from trainer.features import Encoded, encode
from trainer.input_pipeline import labels_of
from trainer.metrics import rates
from trainer.prepare import cluster, fold
from trainer.sources.catalogue import sources_of
from trainer.tracks.context import Context

Positions = NDArray[np.int64]
_FAST_SAMPLE = 160
"""Most examples per corpus and label in a quick run."""
_CUTS = 400
"""Most thresholds that are tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Examples of some corpora, encoded once as they would be served."""

    examples: tuple[Example, ...]
    encoded: Encoded
    labels: NDArray[np.float32]
    names: NDArray[np.str_]
    """Corpus of each."""
    clusters: NDArray[np.int64]
    """Near-duplicate cluster of each: the lowest position in it."""

    def __len__(self) -> int:
        return len(self.examples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Logits of one part with their truth."""

    logits: NDArray[np.float64]
    labels: NDArray[np.float32]
    names: NDArray[np.str_]

    def ham(self) -> NDArray[np.float64]:
        """Logits of the ham."""
        return self.logits[self.labels < 0.5]

    def spam(self) -> NDArray[np.float64]:
        """Logits of the spam."""
        return self.logits[self.labels >= 0.5]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One network, measured."""

    model: LoadedModel
    validation: Scores
    test: Scores
    seconds: float
    """What the training took."""


def read(context: Context, files: Collection[str]) -> tuple[Example, ...]:
    """The examples of these archives in the order they hold them, a sample in a quick run. Raises CorpusError."""
    found: list[Example] = []
    taken: dict[tuple[str, str], int] = {}
    for source in sources_of(context.channel):
        if source.file not in files:
            continue
        for example in source.read(source.path(context.data)):
            key = example.corpus, str(example.label)
            taken[key] = taken.get(key, 0) + 1
            if not context.is_fast or taken[key] <= _FAST_SAMPLE:
                found.append(example)
    if not found:
        raise CorpusError(f"{context.data}: nothing to read in {', '.join(sorted(files))}")
    return tuple(found)


def pooled(context: Context, examples: Sequence[Example]) -> Pool:
    """Examples encoded and clustered."""
    result = encode(examples, DEFAULT_HASHING[context.channel], jobs=context.jobs)
    return Pool(
        examples=tuple(examples),
        encoded=result.encoded,
        labels=labels_of(examples),
        names=np.array([example.corpus for example in examples]),
        clusters=cluster([fold(text) for text in result.texts]),
    )


def run(
    context: Context, config: TrainConfig, pool: Pool, train: Positions, validation: Positions, test: Positions
) -> Run:
    """Train on one part, choose on another, score a third. Raises TrainerError."""
    from trainer.fit import fit_parts, measured_part, training_part  # noqa: PLC0415  (TensorFlow)

    started = time.monotonic()
    hashing = pool.encoded.hashing
    part = training_part(
        config, [pool.examples[i] for i in train], hashing, clusters=pool.clusters[train], jobs=context.jobs
    )
    chosen_on = measured_part(pool.encoded.select(validation), pool.labels[validation], pool.names[validation])
    fitted = fit_parts(config, part, chosen_on, lambda *_: None)
    seconds = time.monotonic() - started
    context.say(f"seed {config.seed}: {len(train)} examples in {seconds:.0f} s")
    return Run(
        model=fitted.model,
        validation=Scores(
            logits=fitted.validation_logits, labels=pool.labels[validation], names=pool.names[validation]
        ),
        test=scores(fitted.model, pool, test),
        seconds=seconds,
    )


def scores(model: LoadedModel, pool: Pool, where: Positions) -> Scores:
    """Logits by the daemon's own code."""
    logits = evaluate.logits(model, pool.encoded.select(where))
    return Scores(logits=logits, labels=pool.labels[where], names=pool.names[where])


def shuffled(positions: Positions, seed: int, *shares: float) -> tuple[Positions, ...]:
    """Random parts of these positions with these shares, and what is left; each ascending."""
    order = [int(i) for i in positions]
    random.Random(seed).shuffle(order)  # noqa: S311  (no secret)
    cuts = [0, *(round(float(np.sum(shares[: i + 1])) * len(order)) for i in range(len(shares))), len(order)]
    return tuple(np.sort(np.array(order[a:b], np.int64)) for a, b in pairwise(cuts))


def best_cut(part: Scores, figure: Callable[[Mapping[str, int]], float]) -> float:
    """The threshold with the highest figure of ``metrics.rates``; in the middle of those that tie."""
    values = np.unique(part.logits)
    middles = (values[1:] + values[:-1]) / 2
    cuts = middles[np.unique(np.linspace(0, len(middles) - 1, min(_CUTS, len(middles))).astype(np.int64))]
    found = np.array([figure(rates(part.logits, part.labels, cut)) for cut in cuts])
    best = cuts[found >= found.max() - 1e-12]
    return float((best[0] + best[-1]) / 2)


def scaled(config: TrainConfig, examples: int, *, epochs: int, passes: float, seed: int) -> TrainConfig:
    """The channel's configuration for a corpus of this size: each epoch draws ``passes`` times its examples."""
    drawn = max(config.batch * 4, round(passes * examples))
    return replace(config, epochs=epochs, epoch_examples=drawn, seed=seed)

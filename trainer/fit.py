"""From examples to a calibrated network in ONNX, in memory: the middle of the line, without corpora and without disk.

``build`` publishes what comes out of here; the tracks that train from scratch measure it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import Bundle, BundleSpec, Calibration, Hashing
from filterd.core.tokens import DEFAULT_HASHING
from filterd.inference.loaded import LoadedModel
from trainer import calibrate, evaluate, operating_points
from trainer.augment import copies, origin
from trainer.config import TrainConfig
from trainer.corpora import Prepared
from trainer.example import Example
from trainer.export import check_parity
from trainer.features import Encoded, encode, stack
from trainer.input_pipeline import draw_weights, labels_of
from trainer.linear_path import PENALTIES, Penalty
from trainer.metrics import balanced_weights
from trainer.model import WideDeep
from trainer.prepare import Split, cluster, fold
from trainer.serving_graph import serving_graph
from trainer.train import Part, Progress, Trained, train

_PARITY_BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained network as it would be served."""

    trained: Trained
    graph: bytes
    """ONNX."""
    parity: float
    """Largest difference of a logit between Keras and ONNX Runtime."""
    model: LoadedModel
    """Calibrated, with operating points; its spec has no id yet."""
    validation_logits: NDArray[np.float64]


def fit(
    config: TrainConfig,
    train_examples: Sequence[Example],
    validation: Sequence[Example],
    *,
    jobs: int = 1,
    progress: Progress = lambda *_: None,
) -> Fitted:
    """Train on these, stop, calibrate and choose operating points on those. Raises TrainerError.

    The same seed and the same examples give the same network on the same machine.
    """
    hashing = DEFAULT_HASHING[config.channel]
    read = encode(validation, hashing, jobs=jobs)
    return fit_parts(
        config,
        training_part(config, train_examples, hashing, jobs=jobs),
        measured_part(read.encoded, labels_of(validation), np.array([e.corpus for e in validation])),
        progress,
    )


def fit_parts(
    config: TrainConfig,
    train_part: Part,
    validation: Part,
    progress: Progress,
    checkpoint: Path | None = None,
    penalties: Sequence[Penalty] = PENALTIES,
) -> Fitted:
    """The same for examples that are encoded already. Raises TrainerError."""
    trained = train(config, train_part, validation, progress, checkpoint, penalties)
    trained.model.round_embedding()
    graph = serving_graph(trained.model.served(), validation.encoded.hashing)
    parity = check_parity(graph, *_parity_cases(trained.model, validation.encoded))
    unset = BundleSpec(
        id="unset",
        channel=config.channel,
        hashing=validation.encoded.hashing,
        calibration=Calibration(),
        points=MappingProxyType({}),
        created_at="",
    )
    logits = evaluate.logits(LoadedModel(Bundle(spec=unset, model=graph, probes=())), validation.encoded)
    calibration = calibrate.fit(logits, validation.labels, validation.weights)
    points = operating_points.choose(calibrate.apply(calibration, logits), validation.labels, validation.corpora)
    spec = replace(unset, calibration=calibration, points=points)
    return Fitted(
        trained=trained,
        graph=graph,
        parity=parity,
        model=LoadedModel(Bundle(spec=spec, model=graph, probes=())),
        validation_logits=logits,
    )


def training_part(
    config: TrainConfig,
    examples: Sequence[Example],
    hashing: Hashing,
    *,
    clusters: NDArray[np.int64] | None = None,
    jobs: int = 1,
) -> Part:
    """Examples as training reads them; near-duplicates are looked for unless ``clusters`` names them."""
    extra = copies(examples, flat=config.flatten_share, disguised=config.disguise_share)
    everything = [*examples, *extra]
    read = encode(everything, hashing, training=True, jobs=jobs)
    if clusters is None:
        clusters = cluster([fold(text) for text in read.texts[: len(examples)]])
    position = {(e.corpus, e.id): i for i, e in enumerate(examples)}
    originals = np.array([position[e.corpus, origin(e)] for e in extra], np.int64)
    return Part(
        encoded=read.encoded,
        labels=labels_of(everything),
        corpora=np.array([e.corpus for e in everything]),
        weights=draw_weights(everything, np.concatenate([clusters, clusters[originals]])),
    )


def prepared_part(config: TrainConfig, prepared: Prepared, *, jobs: int) -> Part:
    """What ``training_part`` makes of the training examples of a prepared corpus."""
    where = prepared.corpus.where(Split.TRAIN)
    return training_part(
        config,
        [prepared.corpus.examples[i] for i in where],
        prepared.encoded.hashing,
        clusters=prepared.corpus.clusters[where],
        jobs=jobs,
    )


def measured_part(encoded: Encoded, labels: NDArray[np.float32], names: NDArray[np.str_]) -> Part:
    """Examples to measure on: both labels count the same, and within a label every corpus."""
    weights = np.zeros(len(labels))
    for spam in (False, True):
        inside = (labels > 0.5) == spam
        weights[inside] = balanced_weights(names[inside]) / 2
    return Part(encoded=encoded, labels=labels, corpora=names, weights=weights)


def _parity_cases(model: WideDeep, encoded: Encoded) -> tuple[list[dict[str, Any]], list[NDArray[np.float32]]]:
    """Batches of real and random messages over all lengths, with Keras's logits."""
    order = np.argsort(encoded.lengths(), kind="stable")
    spread = order[np.linspace(0, len(order) - 1, 5 * _PARITY_BATCH).astype(np.int64)]
    made = _random_messages(encoded.hashing)
    feeds = [encoded.feeds(spread[start::5]) for start in range(5)]
    feeds += [made.feeds(np.arange(start, len(made), 4, dtype=np.int64)) for start in range(4)]
    return feeds, [np.asarray(model(each), np.float32) for each in feeds]


def _random_messages(hashing: Hashing) -> Encoded:
    """One message of each of many lengths from 1 to the longest, the first and the last dozen all there."""
    rng = np.random.default_rng(hashing.seed)
    top = hashing.max_tokens
    lengths = sorted({*range(1, 13), *range(13, top, max(1, top // 40)), *range(max(1, top - 12), top + 1)})
    return stack(
        (
            (
                rng.integers(1, hashing.token_buckets, (length, hashing.grams), np.int32),
                rng.integers(1, hashing.wide_buckets, min(length, hashing.max_wide), np.int32),
                rng.normal(size=len(hashing.side)).astype(np.float32),
            )
            for length in lengths
        ),
        hashing,
    )

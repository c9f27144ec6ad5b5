"""Trains a published system as its author did: shuffled batches, a fixed number of epochs, no choice by validation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.checkpoint import History
from trainer.errors import TrainingDiverged
from trainer.published import blocks
from trainer.published.config import FitConfig, Head, Optimizer, SequenceConfig, Side
from trainer.published.network import build
from trainer.published.tokenizer import Ids, padded
from trainer.train import Progress

_POOL = 50
"""Batches that are sorted by length together where padding is masked, so that they hold little of it."""
_WIDTHS = (32, 64, 96, 128, 160, 192, 224, 256, 320, 384, 512, 768, 1024, 1536, 2560)
"""Where XLA compiles for every length of a batch, masked texts are padded to one of these."""
_SCORED = 256
"""Rows of a validation batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Encoded texts and their truth."""

    ids: Sequence[Ids]
    labels: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A trained network."""

    model: Any
    history: History
    seconds: float
    """CPU time of training, without validation."""


Batch = tuple[Ids, NDArray[np.float32], NDArray[np.float32]]
"""Tokens int32[B, T], labels float32[B], weights float32[B]: 0 for rows that only fill the batch up."""


def fit(config: SequenceConfig, size: int, train: Rows, validation: Rows, progress: Progress) -> Fitted:
    """A network over ``size`` ids. Raises TrainingDiverged when the loss stops being a number."""
    model = build(config, size)
    step, score = _step(model, config), _score(model, config)
    rng = np.random.default_rng(config.fit.seed)
    per_epoch = -(-len(train) // config.fit.batch)
    history, seconds = History(), 0.0
    for epoch in range(config.fit.epochs):
        started, sums, done = time.process_time(), np.zeros(3), epoch * per_epoch
        for batch in batches(train, config, config.fit.batch, rng):
            sums += np.array([float(each) for each in step(*map(tf.constant, batch))])
            done += 1
            if not np.isfinite(sums[0]):
                raise TrainingDiverged(f"the loss is {sums[0]} in epoch {epoch + 1}; lower fit.learning_rate")
            words = f"epoch {epoch + 1} loss {sums[0] / sums[2]:.3f}"
            progress(done, per_epoch * config.fit.epochs, words)
        seconds += time.process_time() - started
        history.loss.append(float(sums[0] / sums[2]))
        history.accuracy.append(float(sums[1] / sums[2]))
        measured = np.zeros(3)
        for batch in batches(validation, config, _SCORED):
            measured += np.array([float(each) for each in score(*map(tf.constant, batch))])
        history.validation_loss.append(float(measured[0] / measured[2]))
        history.validation_accuracy.append(float(measured[1] / measured[2]))
    return Fitted(model=model, history=history, seconds=seconds)


def batches(rows: Rows, config: SequenceConfig, size: int, rng: np.random.Generator | None = None) -> Iterator[Batch]:
    """Every row once, shuffled if there is ``rng``; batches are full, the last one with repeats that weigh nothing."""
    text, is_rounded = config.text, _is_compiled(config)
    order = np.arange(len(rows)) if rng is None else rng.permutation(len(rows))
    lengths = np.array([len(row) for row in rows.ids])
    for start in range(0, len(order), size * _POOL):
        pool = order[start : start + size * _POOL]
        if text.is_masked:
            pool = pool[np.argsort(lengths[pool], kind="stable")]
        parts = [pool[i : i + size] for i in range(0, len(pool), size)]
        for i in range(len(parts)) if rng is None else rng.permutation(len(parts)):
            part = np.resize(parts[i], size)
            weights = (np.arange(size) < len(parts[i])).astype(np.float32)
            width = _width(int(lengths[part].max()), is_rounded=is_rounded) if text.is_masked else text.length
            side = Side.RIGHT if text.is_masked else text.padding  # masked, both sides are the same to the states
            tokens = padded([rows.ids[int(at)] for at in part], width, side)
            yield tokens, rows.labels[part].astype(np.float32), weights


def _width(longest: int, *, is_rounded: bool) -> int:
    return next((width for width in _WIDTHS if is_rounded and width >= longest), max(1, longest))


def _step(model: Any, config: SequenceConfig) -> Callable[..., Any]:
    optimizer = _optimizer(config.fit)
    optimizer.build(model.trainable_variables)

    @tf.function(jit_compile=_is_compiled(config), input_signature=_SIGNATURE)  # type: ignore[untyped-decorator]
    def step(tokens: Any, labels: Any, weights: Any) -> tuple[Any, Any, Any]:
        with tf.GradientTape() as tape:
            losses, hits = _losses(_logits(model, config, tokens, training=True), labels, config.network.head)
            total, count = tf.reduce_sum(losses * weights), tf.reduce_sum(weights)
            mean = total / count
        gradients = tape.gradient(mean, model.trainable_variables)
        optimizer.apply([tf.convert_to_tensor(g) for g in gradients], model.trainable_variables)
        return total, tf.reduce_sum(hits * weights), count

    return step  # type: ignore[no-any-return]  # tensorflow is not type-checked


def _score(model: Any, config: SequenceConfig) -> Callable[..., Any]:
    @tf.function(jit_compile=_is_compiled(config), input_signature=_SIGNATURE)  # type: ignore[untyped-decorator]
    def score(tokens: Any, labels: Any, weights: Any) -> tuple[Any, Any, Any]:
        losses, hits = _losses(_logits(model, config, tokens, training=False), labels, config.network.head)
        return tf.reduce_sum(losses * weights), tf.reduce_sum(hits * weights), tf.reduce_sum(weights)

    return score  # type: ignore[no-any-return]  # the same


def _is_compiled(config: SequenceConfig) -> bool:
    """The fused op is no business of XLA's."""
    return config.fit.is_compiled and not blocks.fits(config.network)


def _logits(model: Any, config: SequenceConfig, tokens: Any, *, training: bool) -> Any:
    if blocks.fits(config.network):
        return blocks.logits(model, tokens, is_masked=config.text.is_masked, training=training)
    return model(tokens, training=training)


_SIGNATURE = (
    tf.TensorSpec([None, None], tf.int32),
    tf.TensorSpec([None], tf.float32),
    tf.TensorSpec([None], tf.float32),
)


def _losses(logits: Any, labels: Any, head: Head) -> tuple[Any, Any]:
    """Cross-entropy and whether the likelier label is right, float32[B] each."""
    if head is Head.SOFTMAX:
        truth = tf.cast(labels, tf.int32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=truth, logits=logits)
        odds = logits[:, 1] - logits[:, 0]
    else:
        odds = logits[:, 0]
        losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=odds)
    return losses, tf.cast(tf.equal(odds > 0, labels > 0.5), tf.float32)


def _optimizer(config: FitConfig) -> Any:
    kinds = {Optimizer.ADAM: keras.optimizers.Adam, Optimizer.RMSPROP: keras.optimizers.RMSprop}
    return kinds[config.optimizer](config.learning_rate)

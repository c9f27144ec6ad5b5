"""Trains one network: balanced draws, ham weighted more, early stop on spam missed at low ham losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.checkpoint import History, Run, keep, resumed
from trainer.config import TrainConfig
from trainer.errors import TrainingDiverged
from trainer.features import Encoded
from trainer.input_pipeline import drawn, ordered, with_padded_spam
from trainer.linear_path import PENALTIES, Blend, LinearPath, Penalty, choose, fit_linear
from trainer.logistic import probability_of
from trainer.metrics import spam_missed_at
from trainer.model import WideDeep
from trainer.optimizer import Adam

GUARDED_HAM_LOSSES = (0.0025, 0.005, 0.01, 0.02, 0.05, 0.1)
"""The guarded figure is the mean of the spam missed at these: one of them alone jumps with a handful of ham."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Examples ready for the network."""

    encoded: Encoded
    labels: NDArray[np.float32]
    corpora: NDArray[np.str_]
    weights: NDArray[np.float64]
    """Of a draw, summing to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A network with the weights of its best epoch, its linear path joined to it."""

    model: WideDeep
    history: History
    best_epoch: int
    path: LinearPath
    """The linear path by itself, before its weight."""
    blend: Blend
    """What the deep and the linear path count."""


Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all, and a few words."""


def train(
    config: TrainConfig,
    train_part: Part,
    validation: Part,
    progress: Progress,
    checkpoint: Path | None = None,
    penalties: Sequence[Penalty] = PENALTIES,
) -> Trained:
    """Fit the deep path by steps and the linear one beside it. Raises TrainingDiverged when the loss is no number.

    The linear path is fitted with each of ``penalties``, and the best kept.

    After every epoch its state is kept in ``checkpoint``; a run that finds one of the same configuration there goes
    on from it. Dropout then draws other numbers than without the interruption.
    """
    keras.utils.set_random_seed(config.seed)
    model = built(config, train_part)
    steps = max(1, config.epoch_examples // config.batch)
    rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps * config.epochs, alpha=0.05)
    optimizer = Adam(model.deep_variables, rate, config.average)
    step = _step(model, optimizer, config)
    run = Run(config=config, history=History(), best=np.inf, best_weights=model.get_weights(), best_epoch=0, epoch=0)
    if checkpoint is not None:
        run = resumed(run, optimizer.state, checkpoint)
    while run.epoch < config.epochs and run.epoch - run.best_epoch <= config.patience:
        rng = np.random.default_rng((config.seed, run.epoch))
        losses, hits, done = [], [], run.epoch * steps
        for batch in drawn(
            train_part.encoded,
            train_part.labels,
            train_part.weights,
            count=config.epoch_examples,
            batch=config.batch,
            rng=rng,
        ):
            loss, hit = step(batch.feeds, tf.constant(batch.labels))
            losses.append(float(loss))
            hits.append(float(hit))
            done += 1
            if not np.isfinite(losses[-1]):
                raise TrainingDiverged(f"the loss is {losses[-1]} in epoch {run.epoch + 1}; lower the learning rate")
            progress(done, steps * config.epochs, f"epoch {run.epoch + 1} loss {np.mean(losses[-50:]):.3f}")
        with optimizer.averaged():
            missed = _measure(model, validation, run.history, losses, hits)
            if missed < run.best:
                run.best, run.best_weights, run.best_epoch = missed, model.get_weights(), run.epoch
        run.epoch += 1
        if checkpoint is not None:
            keep(run, optimizer.state, checkpoint)
    model.set_weights(run.best_weights)
    padded = with_padded_spam(
        train_part.encoded, train_part.labels, train_part.weights, np.random.default_rng(config.seed)
    )
    paths = fit_linear(*padded, config.ham_weight, penalties)
    deep = predict(model, validation.encoded)
    path, shares = choose(paths, validation.encoded, deep, validation.labels, validation.weights)
    model.join(path, shares)
    return Trained(model=model, history=run.history, best_epoch=run.best_epoch + 1, path=path, blend=shares)


def built(config: TrainConfig, part: Part) -> WideDeep:
    """A network with fresh weights and this part's side statistics."""
    side = part.encoded.side
    mean = np.average(side, axis=0, weights=part.weights)
    spread = np.sqrt(np.average((side - mean) ** 2, axis=0, weights=part.weights))
    scale = np.where(spread > 1e-6, spread, 1.0)
    model = WideDeep(part.encoded.hashing, config.model, (mean, scale))
    model(part.encoded.feeds(np.arange(min(2, len(part.encoded)), dtype=np.int64)))
    return model


def _step(model: WideDeep, optimizer: Adam, config: TrainConfig) -> Callable[[Any, Any], tuple[Any, Any]]:
    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]  # tensorflow is not type-checked
    def step(feeds: Any, labels: Any) -> tuple[Any, Any]:
        target = labels * (1 - config.label_smoothing) + 0.5 * config.label_smoothing
        weight = tf.where(labels > 0.5, 1.0, config.ham_weight)
        with tf.GradientTape() as tape:
            logits = model.deep(feeds, training=True)
            loss = tf.reduce_mean(weight * tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits))
        optimizer.apply(tape.gradient(loss, model.deep_variables))
        return loss, tf.reduce_mean(tf.cast((logits > 0) == (labels > 0.5), tf.float32))

    return step  # type: ignore[no-any-return]  # the same


def predict(model: WideDeep, encoded: Encoded, batch: int = 256) -> NDArray[np.float32]:
    """float32[N]: logits by Keras, for training's own use; what is reported goes through ONNX."""

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]  # tensorflow
    def score(feeds: Any) -> Any:
        return model(feeds)

    logits = np.zeros(len(encoded), np.float32)
    for each in ordered(encoded, np.zeros(len(encoded), np.float32), batch):
        logits[each.positions] = np.asarray(score(each.feeds))
    return logits


def _measure(model: WideDeep, part: Part, history: History, losses: list[float], hits: list[float]) -> float:
    logits = predict(model, part.encoded)
    p = np.clip(probability_of(logits), 1e-7, 1 - 1e-7)
    loss = -np.average(np.where(part.labels > 0.5, np.log(p), np.log(1 - p)), weights=part.weights)
    missed = float(
        np.mean([spam_missed_at(logits, part.labels, part.corpora, ham_loss=loss) for loss in GUARDED_HAM_LOSSES])
    )
    history.loss.append(float(np.mean(losses)))
    history.accuracy.append(float(np.mean(hits)))
    history.validation_loss.append(float(loss))
    history.validation_accuracy.append(float(np.average((logits > 0) == (part.labels > 0.5), weights=part.weights)))
    history.spam_missed.append(missed)
    return missed

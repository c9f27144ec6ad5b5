"""The network: wide and deep, recurrent.

Deep: hashed words with their n-grams -> embedding bag -> (convolution, max pooling in time) -> LSTM or GRU with exact
lengths -> masked max and mean -> with the side features through a dense layer. Beside it every step says by itself
how spammy it is, and a soft maximum over the steps keeps one bad passage from being averaged away by good ones.
Wide: linear tables over hashed features and over the n-grams of the words. ``logit = deep + passages + wide``.
Padding changes nothing: pools, convolution and recurrence see real tokens only.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from filterd.core.bundle import Hashing
from trainer.config import ModelConfig
from trainer.export import recurrent_weights
from trainer.linear_path import FLOOR, Blend, LinearPath
from trainer.recurrent import directions
from trainer.serving_graph import LOW, ServedWeights

_SIDE_LIMIT = 4.0
"""Standard deviations after which a side feature is clipped."""
_IGNORED = frozenset({"mime_bytes"})
"""Side features that are not shown: the size of a message holds that of its collector's headers."""
_NEVER = 1e9
"""Scale of a feature that is not shown."""


class WideDeep(keras.Model):  # type: ignore[misc]  # keras ships no types
    """float32[B] logits of ``tokens int32[B, T, G], length int32[B], wide int32[B, W], side float32[B, S]``."""

    def __init__(self, hashing: Hashing, config: ModelConfig, side: tuple[NDArray[Any], NDArray[Any]]) -> None:
        super().__init__()
        self.hashing = hashing
        self.config = config
        self.side_mean = np.asarray(side[0], np.float32)
        self.side_scale = np.array(side[1], np.float32)
        ignored = np.array([name in _IGNORED for name in hashing.side], bool)
        self.side_scale[ignored] = np.float32(_NEVER)
        groups = [name.partition("_")[0] for name in hashing.side]
        self.side_groups = np.array([sorted(set(groups)).index(group) for group in groups], np.int32)
        self.embedding = keras.layers.Embedding(hashing.token_buckets, config.embedding)
        self.wide_table = keras.layers.Embedding(hashing.wide_buckets, 1, embeddings_initializer="zeros")
        self.gram_table = keras.layers.Embedding(hashing.token_buckets, 1, embeddings_initializer="zeros")
        self.convolution = keras.layers.Dense(config.filters, activation="relu") if config.filters else None
        cell = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[config.cell]
        layer = cell(config.units, return_sequences=True)
        self.recurrent = keras.layers.Bidirectional(layer) if config.bidirectional else layer
        self.passage = keras.layers.Dense(1)
        self.passage_weight = 1.0
        self.floor = np.float32(-np.inf)
        self.hidden = keras.layers.Dense(config.dense, activation="relu")
        self.output_layer = keras.layers.Dense(1)
        self.dropout = keras.layers.Dropout(config.dropout)
        for layer in (self.embedding, self.wide_table, self.gram_table):
            layer.build(None)

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:  # noqa: FBT001, FBT002  (Keras's own name)
        """Logits float32[B]."""
        grams = by_token(self.gram_table.embeddings, inputs["tokens"], inputs["length"])
        path = linear(self.wide_table.embeddings, inputs["wide"]) + tf.reduce_sum(grams, axis=1)
        return self.deep(inputs, training=training) + tf.maximum(path, self.floor)

    def deep(self, inputs: dict[str, Any], *, training: bool) -> Any:
        """The deep path's part of the logits, passages included: float32[B]."""
        config = self.config
        steps = bag(self.embedding.embeddings, inputs["tokens"])
        if training:
            kept = tf.random.uniform(tf.shape(steps)[:2]) >= config.word_dropout
            steps *= tf.cast(kept, tf.float32)[..., None]
            steps = self.dropout(steps, training=True)
        lengths = inputs["length"]
        if self.convolution is not None:
            steps = pool_in_time(self.convolution(windows(steps, lengths)), lengths, config.pool)
            lengths = pooled_lengths(lengths, config.pool)
        mask = tf.sequence_mask(lengths, tf.shape(steps)[1])
        steps = self._recurrence(steps, lengths, mask)
        side = standardised(inputs["side"], self.side_mean, self.side_scale)
        if training:
            shown = tf.random.uniform([tf.shape(side)[0], self.side_groups.max() + 1]) >= config.side_dropout
            side *= tf.cast(tf.gather(shown, self.side_groups, axis=1), tf.float32)
        hidden = self.hidden(tf.concat([*pools(steps, mask, lengths), side], axis=1))
        deep = self.output_layer(self.dropout(hidden, training=training))[:, 0]
        if config.has_passages:
            scores = self.passage(steps)[..., 0]
            deep += self.passage_weight * tf.reduce_sum(passages(scores, mask), axis=1)
        return deep

    def _recurrence(self, steps: Any, lengths: Any, mask: Any) -> Any:
        """The recurrent layer; an LSTM in one kernel per direction, three times as fast as Keras's loop."""
        layer = self.recurrent
        if not layer.built:
            layer.build(steps.shape)
        if self.config.cell != "lstm":
            return layer(steps, mask=mask)
        return tf.concat(directions(layer, steps, lengths), axis=2)

    @property
    def deep_variables(self) -> list[Any]:
        """What training by steps changes: everything but the linear tables, which are fitted by themselves."""
        apart = {id(layer.embeddings) for layer in (self.wide_table, self.gram_table)}
        return [variable for variable in self.trainable_variables if id(variable) not in apart]

    def join(self, path: LinearPath, blend: Blend) -> None:
        """Put the linear path beside the deep one, each with its weight."""
        self.wide_table.set_weights([blend.linear * path.wide[:, None]])
        self.gram_table.set_weights([blend.linear * path.grams[:, None]])
        self.floor = np.float32(blend.linear * (FLOOR - path.bias))
        if self.config.has_passages:
            self.passage_weight = blend.deep
        kernel, bias = self.output_layer.get_weights()
        self.output_layer.set_weights([blend.deep * kernel, blend.deep * bias + blend.bias + blend.linear * path.bias])

    def served(self) -> ServedWeights:
        """The present weights for ``serving_graph``; the embedding in half precision.

        Raises ValueError before the first call of the network.
        """
        config = self.config
        arrays = self.recurrent.get_weights()
        return ServedWeights(
            embedding=self.embedding.embeddings.numpy().astype(np.float16),
            grams=self.gram_table.embeddings.numpy(),
            wide=self.wide_table.embeddings.numpy(),
            convolution=tuple(self.convolution.get_weights()) if self.convolution is not None else None,
            pool=config.pool,
            recurrent=recurrent_weights(
                config.cell, config.units, [arrays[i : i + 3] for i in range(0, len(arrays), 3)]
            ),
            hidden=tuple(self.hidden.get_weights()),
            output=tuple(self.output_layer.get_weights()),
            passage=tuple(self.passage.get_weights()) if config.has_passages else None,
            share=float(self.passage_weight),
            floor=float(self.floor),
            mean=self.side_mean,
            scale=self.side_scale,
            side_limit=_SIDE_LIMIT,
        )

    def round_embedding(self) -> None:
        """Round the embedding to half precision, so that what is measured is what is stored."""
        table = self.embedding.embeddings
        table.assign(table.numpy().astype(np.float16).astype(np.float32))


def bag(table: Any, tokens: Any) -> Any:
    """Sum of a word's rows over the square root of their number: int32[B, T, G] -> float32[B, T, E]. Id 0 is none."""
    present = tf.cast(tokens > 0, tf.float32)
    rows = tf.cast(tf.gather(table, tokens), tf.float32) * present[..., None]
    count = tf.maximum(tf.reduce_sum(present, axis=2, keepdims=True), 1.0)
    return tf.reduce_sum(rows, axis=2) / tf.sqrt(count)


def linear(table: Any, ids: Any) -> Any:
    """Sum of the weights of a message's features over the square root of their number: int32[B, W] -> float32[B]."""
    present = tf.cast(ids > 0, tf.float32)
    weights = tf.gather(table, ids)[:, :, 0] * present
    return tf.reduce_sum(weights, axis=1) / tf.sqrt(tf.maximum(tf.reduce_sum(present, axis=1), 1.0))


def by_token(table: Any, tokens: Any, lengths: Any) -> Any:
    """What the n-grams of each word add, over the square root of their number in the message: float32[B, T]."""
    real = tf.sequence_mask(lengths, tf.shape(tokens)[1])[..., None]
    present = tf.cast((tokens > 0) & real, tf.float32)
    weights = tf.gather(table, tokens)[..., 0] * present
    count = tf.maximum(tf.reduce_sum(present, axis=[1, 2]), 1.0)
    return tf.reduce_sum(weights, axis=2) / tf.sqrt(count)[:, None]


def windows(steps: Any, lengths: Any) -> Any:
    """Each step beside its neighbours, zero beyond the ends: float32[B, T, E] -> float32[B, T, 3 * E]."""
    mask = tf.cast(tf.sequence_mask(lengths, tf.shape(steps)[1]), tf.float32)
    around = tf.pad(steps * mask[..., None], [[0, 0], [1, 1], [0, 0]])
    return tf.concat([around[:, :-2], around[:, 1:-1], around[:, 2:]], axis=2)


def pool_in_time(steps: Any, lengths: Any, size: int) -> Any:
    """Maximum of every ``size`` steps, which must not be negative: float32[B, T, F] to [B, ceil(T / size), F]."""
    mask = tf.cast(tf.sequence_mask(lengths, tf.shape(steps)[1]), tf.float32)
    steps *= mask[..., None]
    if size == 1:
        return steps
    length = tf.shape(steps)[1]
    missing = pooled_lengths(length, size) * size - length  # a remainder of a negative number differs in ONNX
    padded = tf.pad(steps, [[0, 0], [0, missing], [0, 0]])
    return tf.reduce_max(tf.reshape(padded, [tf.shape(steps)[0], -1, size, steps.shape[2]]), axis=2)


def pooled_lengths(lengths: Any, size: int) -> Any:
    """int32[B]: lengths after ``pool_in_time``."""
    return (lengths + (size - 1)) // size


def pools(steps: Any, mask: Any, lengths: Any) -> tuple[Any, Any]:
    """Maximum and mean of the real steps, float32[B, D] each."""
    real = tf.cast(mask, tf.float32)[..., None]
    highest = tf.reduce_max(steps * real + (1.0 - real) * LOW, axis=1)
    mean = tf.reduce_sum(steps * real, axis=1) / tf.cast(lengths, tf.float32)[:, None]
    return highest, mean


def passages(scores: Any, mask: Any) -> Any:
    """What each step adds to the logit, zero beyond the length: float32[B, T] -> float32[B, T].

    The sum over a message is a soft maximum of its scores, so that it can be taken apart step by step. Source: the
    attention pooling of Ilse, Tomczak, Welling 2018, with the scores themselves as attention.
    """
    real = tf.cast(mask, tf.float32)
    share = tf.nn.softmax(scores * real + (1.0 - real) * LOW, axis=1)
    return share * scores * real


def standardised(side: Any, mean: NDArray[Any], scale: NDArray[Any]) -> Any:
    """Side features around zero, clipped."""
    return tf.clip_by_value((side - mean) / scale, -_SIDE_LIMIT, _SIDE_LIMIT)

"""The networks of the published systems in Keras, and the same as a function that becomes one ONNX graph.

Dropout of any kind, also on recurrent states, is for training only: the exported recurrence has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.export import RecurrentWeights, recurrence, recurrent_weights
from trainer.published.config import Cell, Head, LayerConfig, NetworkConfig, SequenceConfig

LOGIT, PROBABILITIES = "logit", "probabilities"
"""Outputs of the two heads: float32[B] log-odds, float32[B, 2]."""


def build(config: SequenceConfig, size: int) -> Any:
    """A ``keras.Sequential`` with fresh weights: int32[B, T] ids below ``size`` -> float32[B, classes] logits.

    Its softmax, where it has one, is left to the loss and to ``serving``.
    """
    network, text = config.network, config.text
    keras.utils.set_random_seed(config.fit.seed)
    layers = [
        keras.layers.Input((None,), dtype="int32"),
        keras.layers.Embedding(size, network.embedding, mask_zero=text.is_masked),
    ]
    if network.spatial_dropout:
        layers.append(keras.layers.SpatialDropout1D(network.spatial_dropout))
    last = len(network.layers) - 1
    layers += [_recurrent(each, is_last=i == last) for i, each in enumerate(network.layers)]
    if network.dense:
        layers.append(keras.layers.Dense(network.dense, activation="relu"))
    if network.dropout:
        layers.append(keras.layers.Dropout(network.dropout))
    layers.append(keras.layers.Dense(2 if network.head is Head.SOFTMAX else 1))
    return keras.Sequential(layers)


def _recurrent(config: LayerConfig, *, is_last: bool) -> Any:
    cell = {Cell.SIMPLE: keras.layers.SimpleRNN, Cell.LSTM: keras.layers.LSTM, Cell.GRU: keras.layers.GRU}[config.cell]
    layer = cell(
        config.units,
        activation=config.activation.value,
        dropout=config.dropout,
        recurrent_dropout=config.recurrent_dropout,
        return_sequences=not is_last,
    )
    return keras.layers.Bidirectional(layer) if config.is_bidirectional else layer


def outputs(model: Any, head: Head, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
    """What Keras says, as the exported graph says it: float32[B] logits or float32[B, 2] probabilities."""
    logits = model(tokens)
    return np.asarray(tf.nn.softmax(logits) if head is Head.SOFTMAX else logits[:, 0], np.float32)


def serving(model: Any, config: SequenceConfig) -> tuple[Callable[..., Any], list[Any]]:
    """A function for ``trainer.export.to_onnx`` with the present weights, and its signature.

    Masked: ``tokens`` int32[B, T], padded on the right, and ``length`` int32[B]. Not masked: ``tokens`` alone, every
    column of which is a step.
    """
    network, is_masked = config.network, config.text.is_masked
    table = model.layers[0].get_weights()[0]
    recurrent = _recurrent_weights(model, network)
    dense = [layer.get_weights() for layer in model.layers if isinstance(layer, keras.layers.Dense)]

    def serve(tokens: Any, length: Any = None) -> dict[str, Any]:
        steps = tf.gather(tf.constant(table), tokens)
        lengths = length if is_masked else tf.fill([tf.shape(tokens)[0]], tf.shape(tokens)[1])
        for weights in recurrent:
            steps = recurrence(steps, lengths, weights)
        state = last_state(steps, lengths, recurrent[-1])
        for kernel, bias in dense[:-1]:
            state = tf.nn.relu(tf.matmul(state, kernel) + bias)
        logits = tf.matmul(state, dense[-1][0]) + dense[-1][1]
        if network.head is Head.SOFTMAX:
            return {PROBABILITIES: tf.nn.softmax(logits)}
        return {LOGIT: logits[:, 0]}

    signature = [tf.TensorSpec([None, None], tf.int32, name="tokens")]
    return serve, [*signature, tf.TensorSpec([None], tf.int32, name="length")] if is_masked else signature


def _recurrent_weights(model: Any, network: NetworkConfig) -> list[RecurrentWeights]:
    kinds = (keras.layers.SimpleRNN, keras.layers.LSTM, keras.layers.GRU, keras.layers.Bidirectional)
    layers = [layer for layer in model.layers if isinstance(layer, kinds)]
    made = []
    for layer, config in zip(layers, network.layers, strict=True):
        arrays: Sequence[Any] = layer.get_weights()
        cell = f"rnn_{config.activation}" if config.cell is Cell.SIMPLE else config.cell.value
        made.append(recurrent_weights(cell, config.units, [arrays[i : i + 3] for i in range(0, len(arrays), 3)]))
    return made


def last_state(steps: Any, lengths: Any, weights: RecurrentWeights) -> Any:
    """State after the last real step, float32[B, D * U]; of the backward direction that is the one at the first.

    A text without a word keeps the state it began with, zero.
    """
    positions = tf.range(tf.shape(steps)[1])[None, :]
    is_last = tf.cast(tf.equal(positions, lengths[:, None] - 1), tf.float32)
    forward = tf.reduce_sum(steps[:, :, : weights.units] * is_last[:, :, None], axis=1)
    if weights.directions == 1:
        return forward
    return tf.concat([forward, steps[:, 0, weights.units :]], axis=1)

"""The logits of an LSTM network in training, layer by layer through ``trainer.recurrent``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from trainer.published.config import Cell, NetworkConfig
from trainer.recurrent import directions


def fits(network: NetworkConfig) -> bool:
    """Whether the op can stand for every recurrent layer."""
    return all(
        layer.cell is Cell.LSTM and not layer.dropout and not layer.recurrent_dropout for layer in network.layers
    )


def logits(model: Any, tokens: Any, *, is_masked: bool, training: bool) -> Any:
    """float32[B, classes] of a network of ``network.build``; masked ``tokens`` int32[B, T] are padded on the right."""
    present = tf.cast(tokens > 0, tf.int32) if is_masked else tf.ones_like(tokens)
    lengths = tf.reduce_sum(present, axis=1)
    kinds = (keras.layers.LSTM, keras.layers.Bidirectional)
    last = [layer for layer in model.layers if isinstance(layer, kinds)][-1]
    value = tokens
    for layer in model.layers:
        if not isinstance(layer, kinds):
            value = layer(value, training=training)
            continue
        found = directions(layer, value, lengths)
        value = _last(found, lengths) if layer is last else tf.concat(found, axis=2)
    return value


def _last(directions: Sequence[Any], lengths: Any) -> Any:
    """Where each direction ends: forward at the last word, backward at the first; float32[B, D * U]."""
    at = tf.maximum(lengths - 1, 0)
    return tf.concat([tf.gather(directions[0], at, batch_dims=1), *(each[:, 0] for each in directions[1:])], axis=1)

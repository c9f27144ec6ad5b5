"""Keras LSTM layers in training, through TensorFlow's fused ``BlockLSTM`` instead of Keras's loop.

Same weights, same numbers and gradients, less CPU time and nothing to compile per length. The op knows no mask and
needs none: what comes after the last word of a text cannot reach its states, and the backward direction reads each
text reversed within its own length. Gate order of the op: i, c, f, o; of Keras: i, f, c, o. ``BlockLSTMV2`` has
Keras's order, but in TensorFlow 2.21 its gradient mixes up f and c.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import keras
import tensorflow as tf


def directions(layer: Any, steps: Any, lengths: Any) -> list[Any]:
    """States after each step, float32[B, T, U], of the layer or of both of its directions; zero beyond the end."""
    real = tf.cast(tf.sequence_mask(lengths, tf.shape(steps)[1]), tf.float32)[:, :, None]
    if not isinstance(layer, keras.layers.Bidirectional):
        return [_states(layer, steps) * real]
    reverse = partial(tf.reverse_sequence, seq_lengths=lengths, seq_axis=1, batch_axis=0)
    backward = reverse(_states(layer.backward_layer, reverse(steps)))
    return [_states(layer.forward_layer, steps) * real, backward * real]


def _states(layer: Any, steps: Any) -> Any:
    cell = layer.cell
    kernel = tf.concat([tf.convert_to_tensor(cell.kernel), tf.convert_to_tensor(cell.recurrent_kernel)], axis=0)
    inputs = tf.transpose(steps, [1, 0, 2])
    state = tf.zeros([tf.shape(steps)[0], cell.units])
    nothing = tf.zeros([cell.units])
    states = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.cast(tf.shape(inputs)[0], tf.int64),
        x=inputs,
        cs_prev=state,
        h_prev=state,
        w=_reordered(kernel),
        wci=nothing,
        wcf=nothing,
        wco=nothing,
        b=_reordered(tf.convert_to_tensor(cell.bias)),
        forget_bias=0.0,
        cell_clip=0.0,
        use_peephole=False,
    ).h
    return tf.transpose(states, [1, 0, 2])


def _reordered(weights: Any) -> Any:
    input_, forget, candidate, output = tf.split(weights, 4, axis=-1)
    return tf.concat([input_, candidate, forget, output], axis=-1)

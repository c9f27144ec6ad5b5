"""Adam with clipped gradients and a running average of the weights, in TensorFlow's fused kernels.

Keras's own Adam takes ten passes over every table a step; with tables of two million numbers that is longer than the
gradients take. Source: Kingma and Ba 2015; averaging: Polyak and Juditsky 1992.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-7
_CLIP = 1.0
"""Largest norm of all gradients together."""


class Adam:
    """State of one optimisation of these variables."""

    def __init__(self, variables: Sequence[Any], rate: Callable[[Any], Any], average: float) -> None:
        """``rate`` gives the learning rate of a step; ``average`` is the decay per step of the running average."""
        self._variables = [variable.value for variable in variables]
        self._rate = rate
        self._average = average
        self._means = [tf.Variable(tf.zeros_like(each)) for each in self._variables]
        self._squares = [tf.Variable(tf.zeros_like(each)) for each in self._variables]
        self._averages = [tf.Variable(each) for each in self._variables]
        self._done = tf.Variable(0.0)

    @property
    def state(self) -> list[Any]:
        """Every variable that another run needs to go on from here, the weights included."""
        return [*self._variables, *self._means, *self._squares, *self._averages, self._done]

    def apply(self, gradients: Sequence[Any]) -> None:
        """One step; traced by a ``tf.function``."""
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
        clipped, _ = tf.clip_by_global_norm(dense, _CLIP)
        rate = self._rate(self._done)
        self._done.assign_add(1.0)
        decay = tf.minimum(self._average, (1.0 + self._done) / (10.0 + self._done))  # early steps count for little
        powers = tf.pow(_BETA1, self._done), tf.pow(_BETA2, self._done)
        state = zip(self._variables, self._means, self._squares, self._averages, clipped, strict=True)
        for variable, mean, square, average, gradient in state:
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=mean.handle,
                v=square.handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=rate,
                beta1=_BETA1,
                beta2=_BETA2,
                epsilon=_EPSILON,
                grad=gradient,
            )
            average.assign_add((1.0 - decay) * (variable - average))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The weights are their running averages for as long as the context lasts."""
        own = [variable.numpy() for variable in self._variables]
        for variable, average in zip(self._variables, self._averages, strict=True):
            variable.assign(average)
        yield
        for variable, value in zip(self._variables, own, strict=True):
            variable.assign(value)

"""Fits the map from logit to probability. Source: Platt 1999, with the regularised targets of Lin, Lin, Weng 2007."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import Calibration
from trainer.errors import CalibrationError
from trainer.logistic import probability_of, weights_of

_PULL = 1e-9
"""Towards doing nothing: enough for a solution where ham and spam are told apart without error."""


def fit(logits: NDArray[np.floating], labels: NDArray[np.floating], weights: NDArray[np.floating]) -> Calibration:
    """Scale and bias of ``sigmoid(scale * logit + bias)`` by weighted maximum likelihood.

    Fit on the newest part of training time, never on the test. Raises CalibrationError when a label is missing or when
    more spam-like logits turn out to be less spam.
    """
    spam = labels >= 0.5
    if spam.all() or not spam.any():
        raise CalibrationError("calibration needs ham and spam")
    total = weights.sum() / len(weights)
    weight = np.asarray(weights, np.float64) / total
    target = np.where(spam, (spam.sum() + 1) / (spam.sum() + 2), 1 / ((~spam).sum() + 2))
    inputs = np.stack([np.asarray(logits, np.float64), np.ones(len(logits))], axis=1)
    theta = weights_of(inputs, target, weight, start=np.array([1.0, 0.0]), pull=_PULL)
    if not np.isfinite(theta).all() or theta[0] <= 0:
        raise CalibrationError("the network ranks spam below ham on the validation part; nothing can be calibrated")
    return Calibration(scale=float(theta[0]), bias=float(theta[1]))


def apply(calibration: Calibration, logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """float64[N]: probabilities, [0, 1]."""
    return probability_of(calibration.scale * np.asarray(logits, np.float64) + calibration.bias)

"""Fits the map from logit to probability. Source: Platt 1999, with the regularised targets of Lin, Lin, Weng 2007."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import Calibration
from trainer.errors import CalibrationError

_STEPS = 100


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
    theta = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        p = probability_of(inputs @ theta)
        gradient = inputs.T @ (weight * (p - target)) + np.array([1e-6 * (theta[0] - 1), 1e-6 * theta[1]])
        hessian = (inputs * (weight * p * (1 - p))[:, None]).T @ inputs + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        theta -= step * min(1.0, 2.0 / max(1e-9, float(np.abs(step).max())))
        if np.abs(step).max() < 1e-9:
            break
    if not np.isfinite(theta).all() or theta[0] <= 0:
        raise CalibrationError("the network ranks spam below ham on the validation part; nothing can be calibrated")
    return Calibration(scale=float(theta[0]), bias=float(theta[1]))


def probability_of(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """The logistic function, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(x, np.float64))), np.float64)


def apply(calibration: Calibration, logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """float64[N]: probabilities, [0, 1]."""
    return probability_of(calibration.scale * np.asarray(logits, np.float64) + calibration.bias)

"""Logistic regression of a few columns by Newton's method: calibration and the blend of the paths are fitted by it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STEPS = 100
_LONGEST_STEP = 1.0
"""In any weight: a full step from far away overshoots where nearly everything is already told apart."""
_DONE = 1e-9


def weights_of(
    inputs: NDArray[np.float64],
    target: NDArray[np.floating],
    weight: NDArray[np.floating],
    *,
    start: NDArray[np.float64],
    pull: float,
) -> NDArray[np.float64]:
    """float64[D]: the weights of ``sigmoid(inputs @ weights)`` that fit float64[N] targets in [0, 1] best.

    ``inputs`` is float64[N, D], ``weight`` float64[N] what each row counts. The search begins at ``start``, to which
    ``pull`` draws it, in units of ``weight``'s sum.
    """
    theta = start.copy()
    pull = pull * float(weight.sum())
    for _ in range(_STEPS):
        p = probability_of(inputs @ theta)
        gradient = inputs.T @ (weight * (p - target)) + pull * (theta - start)
        hessian = (inputs * (weight * p * (1 - p))[:, None]).T @ inputs + pull * np.eye(len(theta))
        step = np.linalg.solve(hessian, gradient)
        theta -= step * min(1.0, _LONGEST_STEP / max(_DONE, float(np.abs(step).max())))
        if np.abs(step).max() < _DONE:
            break
    return theta


def probability_of(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """The logistic function, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(x, np.float64))), np.float64)

"""Calibrated probabilities are honest, and what cannot be calibrated is refused."""

from __future__ import annotations

import numpy as np
import pytest

from filterd.core.bundle import Calibration
from filterd.core.calibration import probability
from trainer.calibrate import apply, fit
from trainer.errors import CalibrationError


def test_fit_when_logits_are_twice_too_large_then_the_scale_is_a_half():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 2, 20_000)
    labels = (rng.random(20_000) < 1 / (1 + np.exp(-true))).astype(float)

    calibration = fit(2 * true + 1, labels, np.ones(20_000))

    assert calibration.scale == pytest.approx(0.5, abs=0.03)
    assert calibration.bias == pytest.approx(-0.5, abs=0.06)


def test_fit_when_labels_are_told_apart_wholly_then_it_stays_finite():
    calibration = fit(np.array([-9.0, -8, 8, 9]), np.array([0, 0, 1, 1]), np.ones(4))

    assert 0 < calibration.scale < 10


@pytest.mark.parametrize("labels", [[1, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]], ids=["spam", "ham", "upside down"])
def test_fit_when_there_is_nothing_to_fit_then_it_is_refused(labels):
    with pytest.raises(CalibrationError):
        fit(np.array([-2.0, -1, 1, 2]), np.array(labels), np.ones(4))


def test_apply_when_beside_the_daemon_then_the_probabilities_are_the_same():
    calibration = Calibration(scale=1.7, bias=-0.3)
    logits = np.array([-800.0, -3, 0, 2.5, 800])

    assert apply(calibration, logits) == pytest.approx([probability(float(x), calibration) for x in logits])

"""From a model's logit to an honest probability."""

from __future__ import annotations

import math

from filterd.core.bundle import Calibration

_MAX = 60.0
"""Past this log-odds the probability is 0 or 1 in double precision."""
_EDGE = 1e-9


def log_odds(logit: float, calibration: Calibration) -> float:
    """Calibrated log-odds of spam."""
    return calibration.scale * logit + calibration.bias


def odds_of(probability: float) -> float:
    """The log-odds of a probability, of 0 and 1 those of a billionth from them."""
    p = min(max(probability, _EDGE), 1 - _EDGE)
    return math.log(p / (1 - p))


def probability(logit: float, calibration: Calibration) -> float:
    """P(spam) in [0, 1]. Source: Platt 1999, "Probabilistic outputs for support vector machines"."""
    odds = max(-_MAX, min(_MAX, log_odds(logit, calibration)))
    return 1.0 / (1.0 + math.exp(-odds))


def chained(first: Calibration, then: Calibration) -> Calibration:
    """One calibration that does what both do, one after the other."""
    return Calibration(scale=then.scale * first.scale, bias=then.scale * first.bias + then.bias)

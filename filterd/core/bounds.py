"""How sure a share is that was counted: exact binomial bounds.

Sources: Clopper and Pearson 1934; the incomplete beta function by its continued fraction, Lentz 1976, as in Press et
al., "Numerical Recipes", section 6.4.
"""

from __future__ import annotations

import math

_HALVINGS = 60
_TERMS = 500
_TINY = 1e-300
_ENOUGH = 1e-12


def clopper_pearson(part: int, whole: int, confidence: float) -> tuple[float, float]:
    """The ends of the interval of part / whole, [0, 1], at ``confidence`` in (0, 1); (0, 1) of nothing."""
    tail = (1 - confidence) / 2
    low = 0.0 if part == 0 else _quantile(tail, part, whole - part + 1)
    high = 1.0 if part >= whole else _quantile(1 - tail, part + 1, whole - part)
    return low, high


def _quantile(probability: float, a: float, b: float) -> float:
    """Where the beta distribution has ``probability`` below."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _beta(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    # The fraction converges fast on one side of the mean.
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _away(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for term in (even, odd):
            d = 1 / _away(1 + term * d)
            c = _away(1 + term / c)
            change = d * c
            found *= change
        if abs(change - 1) < _ENOUGH:
            break
    return found


def _away(value: float) -> float:
    return value if abs(value) > _TINY else _TINY

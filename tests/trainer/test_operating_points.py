"""Operating points keep their ham-loss budgets, on the mean of the corpora and on each that is large enough."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.bundle import POINT_NAMES
from trainer.errors import CalibrationError
from trainer.operating_points import BUDGETS, FULL, WORST, choose


@given(st.integers(0, 1000), st.integers(1, 4))
def test_choose_when_any_ham_is_given_then_budgets_hold_and_points_descend(seed, corpora):
    rng = np.random.default_rng(seed)
    p = rng.random(1500)
    names = np.array([f"c{i}" for i in rng.integers(0, corpora, 1500)])
    labels = (rng.random(1500) < 0.3).astype(float)

    points = choose(p, labels, names)

    assert points["lenient"] > points["normal"] > points["strict"]
    ham = labels < 0.5
    for name in POINT_NAMES:
        lost = {c: (p >= points[name])[ham & (names == c)].mean() for c in set(names[ham])}
        weight = {c: min(FULL, (ham & (names == c)).sum()) for c in lost}
        assert sum(weight[c] * lost[c] for c in lost) / sum(weight.values()) <= BUDGETS[name] + 1e-9
        assert max(lost.values()) <= WORST * BUDGETS[name] + 1e-9


def test_choose_when_every_ham_looks_like_certain_spam_then_thresholds_stay_below_one():
    points = choose(np.ones(50), np.zeros(50), np.array(["c"] * 50))

    assert 1 > points["lenient"] > points["normal"] > points["strict"] > 0.99


def test_choose_when_there_is_no_ham_then_it_is_refused():
    with pytest.raises(CalibrationError, match="no ham"):
        choose(np.ones(5), np.ones(5), np.array(["c"] * 5))

import math

from hypothesis import given
from hypothesis import strategies as st

from filterd.core.bundle import Calibration
from filterd.core.calibration import probability

LOGITS = st.floats(-1e300, 1e300)


@given(logit=LOGITS, scale=st.floats(0.01, 100), bias=st.floats(-50, 50))
def test_probability_whatever_the_logit_is_one(logit: float, scale: float, bias: float) -> None:
    assert 0 <= probability(logit, Calibration(scale=scale, bias=bias)) <= 1


@given(one=LOGITS, other=LOGITS)
def test_probability_when_the_logit_rises_does_not_fall(one: float, other: float) -> None:
    low, high = sorted((one, other))

    assert probability(low, Calibration()) <= probability(high, Calibration())


def test_probability_inverts_the_log_odds() -> None:
    assert math.isclose(probability(math.log(3), Calibration()), 0.75)

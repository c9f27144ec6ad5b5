"""The parts of a verdict's log-odds add up, and facts have names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.envelope import Channel
from filterd.core.explanation import LABELS, REST, side_features, take_apart
from filterd.core.message import ParseLimits
from filterd.core.token_codec import pack
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from filterd.core.verdict import Evidence

LOGITS = st.floats(-60, 60)


@given(LOGITS, LOGITS, st.lists(LOGITS, max_size=8))
def test_parts_add_up_to_the_log_odds_of_the_probability(logit: float, correction: float, weights: list[float]) -> None:
    evidence = [Evidence(token=f"w{n}", weight=weight) for n, weight in enumerate(weights)]

    found = take_apart(logit, correction, evidence)

    assert sum(part.weight for part in found.parts) == pytest.approx(found.total, abs=1e-9)
    assert found.total == logit + correction
    assert found.parts[-1].token == REST
    assert (LABELS in {part.token for part in found.parts}) is (correction != 0)


def test_side_features_are_told_by_name() -> None:
    hashing = DEFAULT_HASHING[Channel.SMS]
    tokens = Extractor(Channel.SMS, hashing, ParseLimits())(b"Win 500 EUR now at http://prize.example/x").tokens

    found = dict(side_features(pack(tokens, hashing), hashing))

    assert found
    assert set(found) <= set(hashing.side)
    assert all(found.values())

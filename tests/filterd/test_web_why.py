"""What a page says about a verdict adds up."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given

from filterd.core.envelope import Channel, MessageId
from filterd.core.verdict import Action, Evidence, Reason
from filterd.ports import VerdictRow
from filterd.web.why import marked, why

ROW = VerdictRow(
    id=MessageId("0" * 32),
    channel=Channel.EMAIL,
    received_at=datetime(2026, 1, 1, tzinfo=UTC),
    sender="a@example.org",
    recipients=("b@example.net",),
    peer="192.0.2.1",
    size_bytes=100,
    action=Action.QUARANTINE,
    reason=Reason.SPAM,
    detail="lenient",
    outcome="held",
    reply_code=250,
    probability=0.97,
    logit=3.0,
    correction=0.5,
    threshold=0.9,
    model="m1",
    fingerprint="",
    elapsed_seconds=0.01,
    evidence=(
        Evidence(token="prize", weight=2.0),
        Evidence(token="hello", weight=-0.3),
        Evidence(token="x", weight=0.1),
    ),
)


def test_words_labels_and_rest_add_up_to_the_log_odds() -> None:
    shown = why(ROW)

    assert math.isclose(sum(word.weight for word in shown.words), 3.5, abs_tol=1e-9)
    assert shown.total == 3.5
    assert [word.shade for word in shown.words[:3]] == ["spam-3", "ham-2", "spam-1"]


def test_threshold_stands_left_of_a_probability_that_reached_it() -> None:
    shown = why(ROW)

    assert shown.at is not None
    assert shown.threshold_at is not None
    assert 50 < shown.threshold_at < shown.at < 100


@pytest.mark.parametrize(("probability", "place"), [(0.0, 0.0), (1.0, 100.0), (0.5, 50.0), (1e-9, 0.0)])
def test_bar_has_ends(probability: float, place: float) -> None:
    assert why(replace(ROW, probability=probability)).at == place


def test_message_without_a_score_has_no_bar_and_no_words() -> None:
    shown = why(
        replace(ROW, probability=None, logit=None, threshold=None, reason=Reason.DENIED, detail="spammer.example")
    )

    assert (shown.at, shown.threshold_at, shown.words, shown.total) == (None, None, (), None)
    assert shown.listed == "spammer.example"
    assert not why(ROW).listed


@given(st.text(alphabet="ab Prize,é\n-"))
def test_marked_text_is_the_text(text: str) -> None:
    assert "".join(piece for piece, _ in marked(text, why(ROW).words)) == text


def test_words_are_marked_in_the_text_whatever_their_case() -> None:
    pieces = marked("You won a PRIZE, hello!", why(ROW).words)

    assert [piece for piece in pieces if piece[1]] == [("PRIZE", "spam-3"), ("hello", "ham-2")]

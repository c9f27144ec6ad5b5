"""Which few messages are worth a person's label."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from filterd.core.envelope import MessageId
from filterd.core.questions import Candidate, Why, choose


def a_candidate(n: int, odds: float = -5.0, **fields: Any) -> Candidate:
    p = 1 / (1 + math.exp(-odds))
    made = Candidate(message=MessageId(f"{n:032x}"), probability=p, threshold=0.5, correction=0.0)
    return replace(made, **fields)


def chosen(candidates: list[Candidate], limit: int = 5) -> list[tuple[int, Why]]:
    return [(int(question.message, 16), question.why) for question in choose(candidates, limit)]


def test_each_kind_has_its_turn_the_audit_first() -> None:
    candidates = [
        *(a_candidate(n, odds=n / 2 + 0.1) for n in range(1, 5)),
        *(a_candidate(n, is_audit=True) for n in (11, 12)),
        a_candidate(21, odds=3.0, correction=4.0),
    ]

    assert chosen(candidates, 7) == [
        (12, Why.AUDIT),
        (21, Why.DISAGREEMENT),
        (1, Why.THRESHOLD),
        (11, Why.AUDIT),
        (2, Why.THRESHOLD),
        (3, Why.THRESHOLD),
        (4, Why.THRESHOLD),
    ]


def test_nearest_to_the_threshold_comes_first_and_the_newest_among_equals() -> None:
    near = [a_candidate(n, odds) for n, odds in ((1, 2.0), (2, -0.3), (3, 0.3), (4, 1.0))]

    assert [n for n, _ in chosen(near, 3)] == [3, 2, 4]


def test_correction_that_changed_no_decision_is_no_disagreement() -> None:
    assert chosen([a_candidate(1, odds=3.0, correction=1.0)]) == [(1, Why.THRESHOLD)]
    assert chosen([a_candidate(2, odds=-1.0, correction=-2.0)]) == [(2, Why.DISAGREEMENT)]


def test_one_of_a_campaign_is_asked_about_and_none_that_is_labelled() -> None:
    text, other = "0" * 64, "f" * 64
    candidates = [
        a_candidate(1, odds=0.1, fingerprint=text),
        a_candidate(2, odds=0.4, fingerprint="0" * 63 + "1"),
        a_candidate(3, odds=0.6, fingerprint=other),
        a_candidate(4, odds=0.9),
        a_candidate(5, odds=1.1),
    ]

    assert [n for n, _ in chosen(candidates)] == [1, 3, 4, 5]
    assert [n for n, _ in [(int(q.message, 16), q.why) for q in choose(candidates, 5, known=[other])]] == [1, 4, 5]


def test_audited_message_without_a_score_is_asked_about_and_others_are_not() -> None:
    unscored = [a_candidate(n, is_audit=n == 1, probability=None, threshold=None) for n in (1, 2)]

    assert chosen(unscored) == [(1, Why.AUDIT)]
    assert chosen([]) == []

"""B7: every regular expression of the product takes time in proportion to its text, whatever the text."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.hostile.expressions import Expression, attacks, expressions

CHARS = 4_096
SHORT_SECONDS = 0.01
"""Below this, times are noise."""
MOST_SECONDS = 1.0
GROWTH = 3.0
"""Twice the text takes twice the time; four times would be quadratic."""
EXPRESSIONS = {expression.name: expression for expression in expressions()}


def cost(expression: Expression, text: Any) -> float:
    """Seconds of processor time."""
    started = time.thread_time()
    expression.run(text)
    return time.thread_time() - started


def slow(expression: Expression) -> str:
    """The beginning of a text whose doubling costs far more than twice as much; empty where there is none."""
    for attack in attacks(expression.pattern):
        if cost(expression, attack(CHARS // 8)) * 64 < SHORT_SECONDS:
            continue  # not even if it were quadratic
        text = attack(CHARS)
        taken = cost(expression, text)
        if taken < SHORT_SECONDS:
            continue
        if taken > MOST_SECONDS:
            return repr(text[:40])
        once = min(taken, *(cost(expression, text) for _ in range(2)))
        double = attack(2 * CHARS)
        if min(cost(expression, double) for _ in range(3)) > GROWTH * max(once, SHORT_SECONDS / GROWTH):
            return repr(text[:40])
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPRESSIONS)
def test_b7_expression_when_its_text_doubles_takes_about_twice_the_time(name: str) -> None:
    assert slow(EXPRESSIONS[name]) == ""


@pytest.mark.parametrize(
    ("pattern", "is_exponential"),
    [
        (r"(a+)+b", True),
        (r"(?:a|a)*b", True),
        (r"(\w+\s?)*:", True),
        (r"\s+$", False),
        (r"x=\s*[<]*\s*y", False),
        (rb'"(?:[^"\\]|\\.)*"', False),
        (r".*.*=", False),
    ],
)
def test_b7_check_sees_expressions_that_take_too_long(pattern: Any, *, is_exponential: bool) -> None:
    quadratic = Expression(name="bad", pattern=re.compile(pattern), is_anchored=False)
    size = 20 if is_exponential else CHARS // 4

    assert any(takes_long(quadratic, attack, size) for attack in attacks(quadratic.pattern))


def takes_long(expression: Expression, attack: Callable[[int], Any], size: int) -> bool:
    """Whether twice the text costs far more than twice as much."""
    return cost(expression, attack(size)) > GROWTH * max(cost(expression, attack(size // 2)), 1e-5)

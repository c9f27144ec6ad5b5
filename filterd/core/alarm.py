"""When a bundle does so much worse with people than the one before it that it must go."""

from __future__ import annotations

import math
from dataclasses import dataclass

FEWEST = 5
"""Messages people said were treated wrongly before there is an alarm."""
CHANCE = 0.001
"""How often an equally good bundle would raise a false alarm, per question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What people said of the verdicts of one bundle."""

    held: int
    wrongly_held: int
    """Held messages that were released or reported as ham."""
    passed: int
    missed: int
    """Messages that passed and were reported as spam."""


def alarm(newer: Record, older: Record) -> str:
    """Why ``newer`` must go, in one sentence; empty while nothing shows that it is worse.

    Asks whether its share of complaints could be the older one's by chance, with Fisher's exact test, one-sided; of
    messages in all, because a bundle that holds more has more wrongly held.
    """
    total, before = newer.held + newer.passed, older.held + older.passed
    for count, reference, what in (
        (newer.wrongly_held, older.wrongly_held, "held and called ham by people"),
        (newer.missed, older.missed, "passed and called spam by people"),
    ):
        if count >= FEWEST and at_least(count, total, reference, before) < CHANCE:
            return f"{count} of {total} messages were {what}, {reference} of {before} before"
    return ""


def at_least(count: int, total: int, reference: int, before: int) -> float:
    """P(so many or more of the complaints fall on the newer one), were both equally good. Source: Fisher 1922."""
    both, everything = count + reference, total + before
    if not total or not before:
        return 1.0
    whole = _log_choose(everything, both)
    most = min(both, total)
    chances = (
        math.exp(_log_choose(total, n) + _log_choose(before, both - n) - whole)
        for n in range(count, most + 1)
        if both - n <= before
    )
    return min(1.0, sum(chances))


def _log_choose(whole: int, part: int) -> float:
    return math.lgamma(whole + 1) - math.lgamma(part + 1) - math.lgamma(whole - part + 1)

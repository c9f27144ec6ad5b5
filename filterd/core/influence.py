"""How much say a reporter has beyond their own mail: trust from agreement with others, and caps on everybody.

A reporter is trusted until others contradict them (Zheleva, Kolcz, Getoor 2008, "Trusting spam reporters"); whatever
their trust, nobody can move much: only so many labels of one reporter a day, on one sender's mail a day, and on one
campaign count for others.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from filterd.core.envelope import domain_of
from filterd.core.reported import Report
from filterd.core.verdict import Label

ADMINISTRATOR = 3
"""Reporters that an administrator's label is worth where labels are counted against each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Labels that count for others."""

    reporter_daily: int = 30
    """Of one reporter in 24 hours; an administrator has no cap."""
    sender_daily: int = 60
    """On mail of one sender domain in 24 hours."""
    campaign: int = 20
    """On near copies of one message."""


def trust(campaigns: Iterable[Sequence[Report]]) -> Mapping[str, float]:
    """Weight of each reporter in [0, 1]; reporters that are not named have 1.

    ``campaigns`` are groups of labels on near copies. A label agrees or disagrees with the majority of the *other*
    reporters of its campaign; where there is none, it says nothing about its reporter.
    """
    agreed, contradicted = Counter[str](), Counter[str]()
    for reports in campaigns:
        latest = {report.reporter: report for report in sorted(reports, key=lambda r: r.id)}
        if len(latest) == 1:
            continue
        balance = sum(_worth(report) for report in latest.values())
        for name, report in latest.items():
            others = balance - _worth(report)
            if others:
                is_agreeing = (others > 0) is (report.label is Label.SPAM)
                (agreed if is_agreeing else contradicted)[name] += 1
    return {name: _weight(agreed[name], count) for name, count in contradicted.items()}


def _worth(report: Report) -> int:
    worth = ADMINISTRATOR if report.is_for_all else 1
    return worth if report.label is Label.SPAM else -worth


def _weight(agreed: int, contradicted: int) -> float:
    """Twice the mean of Beta(1 + agreed, 1 + contradicted), at most 1: one contradiction costs a third."""
    return min(1.0, 2 * (1 + agreed) / (2 + agreed + contradicted))


def counted(campaigns: Iterable[Sequence[Report]], caps: Caps) -> frozenset[int]:
    """Numbers of the labels that count for others, the first ones under each cap."""
    within: list[Report] = []
    for reports in campaigns:
        within += sorted(reports, key=lambda r: (not r.is_for_all, r.id))[: caps.campaign]
    by_reporter: defaultdict[tuple[str, int], int] = defaultdict(int)
    by_sender: defaultdict[tuple[str, int], int] = defaultdict(int)
    found = set()
    for report in sorted(within, key=lambda r: r.id):
        if report.is_for_all:
            found.add(report.id)
            continue
        day = report.given_at.toordinal()
        reporter, sender = (report.reporter, day), (domain_of(report.sender) or report.sender, day)
        by_reporter[reporter] += 1
        by_sender[sender] += 1
        if by_reporter[reporter] <= caps.reporter_daily and by_sender[sender] <= caps.sender_daily:
            found.add(report.id)
    return frozenset(found)

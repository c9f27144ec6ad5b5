"""How much say a reporter has beyond their own mail: trust from agreement with others, and caps on everybody.

A reporter is trusted until others contradict them (Zheleva, Kolcz, Getoor 2008, "Trusting spam reporters"); whatever
their trust, nobody can move much: only so many labels of one reporter a day, on one sender's mail a day, and on one
campaign count for others.

Somebody who often calls one of two near copies spam and the other ham slips often. What such a one says once, against a
model that is sure, is more likely a slip than right, for their own mail too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from filterd.core.envelope import MessageId, domain_of
from filterd.core.reported import Report, majority
from filterd.core.verdict import Label

ADMINISTRATOR = 3
"""Reporters that an administrator's label is worth where labels are counted against each other."""
_DIVIDED, _DIVIDED_SHARE = 2, 0.1
"""Campaigns of which somebody said both: at least so many, and more than this share of those labelled twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Labels that count for others."""

    reporter_daily: int = 30
    """Of one reporter in 24 hours; an administrator has no cap."""
    sender_daily: int = 60
    """On mail of one sender domain in 24 hours, of each label."""
    campaign: int = 20
    """On near copies of one message, of each label."""


def trust(campaigns: Iterable[Sequence[Report]]) -> Mapping[str, float]:
    """Weight of each reporter in [0, 1]; reporters that are not named have 1.

    ``campaigns`` are groups of labels on near copies. A label agrees or disagrees with what the *other* reporters of
    its campaign say together; where there are none, it says nothing about its reporter.
    """
    agreed, contradicted = Counter[str](), Counter[str]()
    for reports in campaigns:
        latest = {report.reporter: report for report in sorted(reports, key=lambda r: r.id)}
        if len(latest) == 1:
            continue
        worth = {label: sum(_worth(r) for r in latest.values() if r.label is label) for label in Label}
        for name, report in latest.items():
            others = worth | {report.label: worth[report.label] - _worth(report)}
            if any(others.values()):
                (agreed if majority(others[Label.SPAM], others[Label.HAM]) is report.label else contradicted)[name] += 1
    return {name: _weight(agreed[name], count) for name, count in contradicted.items()}


def wavering(campaigns: Iterable[Sequence[Report]]) -> frozenset[str]:
    """Reporters who said both in two campaigns or more, and in more than a tenth of those they labelled twice.

    With one label in ten wrong it is a fifth of them; with none wrong, only those they changed their mind about.
    """
    repeated, divided = Counter[str](), Counter[str]()
    for reports in campaigns:
        opinions: defaultdict[str, dict[MessageId, Label]] = defaultdict(dict)
        for report in sorted(reports, key=lambda r: r.id):
            opinions[report.reporter][report.message] = report.label
        for name, labels in opinions.items():
            repeated[name] += len(labels) > 1
            divided[name] += len(set(labels.values())) > 1
    return frozenset(
        name for name, count in divided.items() if count >= _DIVIDED and count > _DIVIDED_SHARE * repeated[name]
    )


def _worth(report: Report) -> int:
    return ADMINISTRATOR if report.is_for_all else 1


def _weight(agreed: int, contradicted: int) -> float:
    """Twice the mean of Beta(1 + agreed, 1 + contradicted), at most 1: one contradiction costs a third."""
    return min(1.0, 2 * (1 + agreed) / (2 + agreed + contradicted))


def counted(campaigns: Iterable[Sequence[Report]], caps: Caps) -> frozenset[int]:
    """Numbers of the labels that count for others, the first ones under each cap.

    What is about the mail of others has a cap for each label: else those who lie first would use it up, and nobody
    could contradict them.
    """
    within: list[Report] = []
    for reports in campaigns:
        by_age = sorted(reports, key=lambda r: (not r.is_for_all, r.id))
        for label in Label:
            within += [report for report in by_age if report.label is label][: caps.campaign]
    by_reporter, by_sender = Counter[tuple[str, int]](), Counter[tuple[str, Label, int]]()
    found = set()
    for report in sorted(within, key=lambda r: r.id):
        if report.is_for_all:
            found.add(report.id)
            continue
        day = report.given_at.toordinal()
        reporter, sender = (report.reporter, day), (domain_of(report.sender) or report.sender, report.label, day)
        by_reporter[reporter] += 1
        by_sender[sender] += 1
        if by_reporter[reporter] <= caps.reporter_daily and by_sender[sender] <= caps.sender_daily:
            found.add(report.id)
    return frozenset(found)

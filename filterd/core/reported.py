"""What people said about near-identical messages, and for whom it counts.

A report speaks first for the recipients of the message it is about (or for the one who made it), then for their
domain, then for everybody, as independent reporters agree. The narrowest scope that has an answer gives it, so that
nobody's own label is ever overruled by others'. An administrator speaks for everybody at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from filterd.core.envelope import Channel, MessageId, address_key, domain_of
from filterd.core.near import EXACT
from filterd.core.verdict import Label


class ReportScope(StrEnum):
    """Whom a report counts for."""

    RECIPIENT = "recipient"
    DOMAIN = "domain"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One standing label on one message, as the memory of near-duplicates keeps it."""

    id: int
    """Its number in the feedback ledger: higher is later."""
    channel: Channel
    message: MessageId
    fingerprint: str
    label: Label
    reporter: str
    recipients: tuple[str, ...]
    """Keys of the addresses or numbers it speaks for first (``address_key``)."""
    given_at: datetime
    sender: str = ""
    """Key of the envelope sender of the message."""
    model: str = ""
    """The bundle that had judged the message."""
    is_for_all: bool = False
    """Made by an administrator."""
    weight: float = 1.0
    """What it is worth to others, [0, 1]: trust in the reporter, or 0 beyond a cap (``core.influence``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How much trust must be on one side before a label counts for others."""

    domain: float = 2.0
    """Sum of the weights of independent reporters, for everybody in the domain of a recipient."""
    all: float = 3.0
    """The same, for every recipient."""
    sure: float = 10.0
    """Times as much where the model is sure of the opposite: a few who lie must not take away plain ham."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """What the reports on a message's near-duplicates mean for one recipient."""

    label: Label
    scope: ReportScope
    reports: tuple[int, ...]
    """Numbers of the reports it rests on, ascending."""


def resolve(
    reports: Sequence[Report], recipient: str, agreement: Agreement, sure: Label | None = None
) -> Reported | None:
    """What ``reports``, all on near-duplicates of one message, mean for ``recipient``; None where they do not say.

    Of one reporter only the latest counts. A text too short to be compared counts for the recipient alone. ``sure`` is
    the label the model has no doubt of.
    """
    if not reports:
        return None
    key, domain = address_key(recipient), domain_of(recipient)
    own = [report for report in reports if key in report.recipients]
    if own:
        return _by_majority(own, ReportScope.RECIPIENT)
    wide = [report for report in reports if not report.fingerprint.startswith(EXACT)]
    by_administrators = [report for report in wide if report.is_for_all]
    if by_administrators:
        return _by_latest(by_administrators, ReportScope.ALL)
    if domain:
        near = [report for report in wide if any(domain_of(other) == domain for other in report.recipients)]
        found = _by_weight(near, ReportScope.DOMAIN, agreement.domain, agreement, sure)
        if found is not None:
            return found
    return _by_weight(wide, ReportScope.ALL, agreement.all, agreement, sure)


def certainty(probability: float, points: Mapping[str, float]) -> Label | None:
    """The label a model has no doubt of: below the strictest operating point, or from the most lenient one on."""
    if probability < points.get("strict", 0.0):
        return Label.HAM
    return Label.SPAM if probability >= points.get("lenient", 2.0) else None


def _by_majority(reports: Sequence[Report], scope: ReportScope) -> Reported:
    """What most of the last three labels say, the latest where they are even.

    A lone label acts at once, and one slip among several is outvoted. Of one reporter's labels on one message only the
    latest is an opinion.
    """
    opinions: dict[tuple[str, MessageId], Report] = {}
    for report in sorted(reports, key=lambda report: report.id, reverse=True):
        opinions.setdefault((report.reporter, report.message), report)
    last = list(opinions.values())[:_OPINIONS]
    balance = sum(1 if report.label is Label.SPAM else -1 for report in last)
    label = last[0].label if balance == 0 else Label.SPAM if balance > 0 else Label.HAM
    agreeing = sorted(report.id for report in last if report.label is label)
    return Reported(label=label, scope=scope, reports=tuple(agreeing))


def _by_latest(reports: Sequence[Report], scope: ReportScope) -> Reported:
    latest = max(reports, key=lambda report: report.id)
    agreeing = sorted(report.id for report in reports if report.label is latest.label)
    return Reported(label=latest.label, scope=scope, reports=tuple(agreeing))


def _by_weight(
    reports: Sequence[Report], scope: ReportScope, needed: float, agreement: Agreement, sure: Label | None
) -> Reported | None:
    latest: dict[str, Report] = {}
    for report in sorted(reports, key=lambda report: report.id):
        latest[report.reporter] = report
    balance = sum(r.weight if r.label is Label.SPAM else -r.weight for r in latest.values())
    label = Label.SPAM if balance > 0 else Label.HAM
    if sure is not None and sure is not label:
        needed *= agreement.sure
    # Sums of weights such as .1 miss a whole number by a rounding error.
    if abs(balance) + _ROUNDING < needed:
        return None
    return Reported(label=label, scope=scope, reports=tuple(r.id for r in latest.values() if r.label is label))


_ROUNDING = 1e-9
_OPINIONS = 3
"""Own labels that are counted against each other, the latest."""

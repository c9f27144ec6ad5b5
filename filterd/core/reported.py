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
    is_wavering: bool = False
    """Its reporter often says both of near copies (``core.influence``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What a label counts for beside others, found by comparing all of them."""

    weight: float = 1.0
    """See ``Report.weight``."""
    is_wavering: bool = False
    """See ``Report.is_wavering``."""


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
    the label the model has no doubt of: against it somebody who often says both must say a thing twice.
    """
    if not reports:
        return None
    key, domain = address_key(recipient), domain_of(recipient)
    own = [report for report in reports if key in report.recipients]
    if own:
        found = _by_majority(own, ReportScope.RECIPIENT, sure)
        if found is not None:
            return found
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


def majority(spam: float, ham: float) -> Label:
    """What reporters say together who weigh so much. Ham where a third do: to hold it is worse than to let spam in."""
    return Label.SPAM if spam > _TO_ONE * ham else Label.HAM


def certainty(probability: float, points: Mapping[str, float]) -> Label | None:
    """The label a model has no doubt of: below the strictest operating point, or from the most lenient one on."""
    if probability < points.get("strict", 0.0):
        return Label.HAM
    return Label.SPAM if probability >= points.get("lenient", 2.0) else None


def _by_majority(reports: Sequence[Report], scope: ReportScope, sure: Label | None) -> Reported | None:
    """What most of the last three labels say, the latest where they are even.

    A lone label acts at once, and one slip among several is outvoted. Of one reporter's labels on one message only the
    latest is an opinion. A label that is alone, or even with another, is more likely a slip than right where its
    reporter wavers and the model is sure of the opposite; then nothing is said.
    """
    opinions: dict[tuple[str, MessageId], Report] = {}
    for report in sorted(reports, key=lambda report: report.id, reverse=True):
        opinions.setdefault((report.reporter, report.message), report)
    last = list(opinions.values())[:_OPINIONS]
    balance = sum(1 if report.label is Label.SPAM else -1 for report in last)
    label = last[0].label if balance == 0 else Label.SPAM if balance > 0 else Label.HAM
    is_unconfirmed = sum(report.label is label for report in last) == 1
    if is_unconfirmed and last[0].is_wavering and sure not in (None, label):
        return None
    agreeing = sorted(report.id for report in last if report.label is label)
    return Reported(label=label, scope=scope, reports=tuple(agreeing))


def _by_latest(reports: Sequence[Report], scope: ReportScope) -> Reported:
    latest = max(reports, key=lambda report: report.id)
    agreeing = sorted(report.id for report in reports if report.label is latest.label)
    return Reported(label=latest.label, scope=scope, reports=tuple(agreeing))


def _by_weight(
    reports: Sequence[Report], scope: ReportScope, needed: float, agreement: Agreement, sure: Label | None
) -> Reported | None:
    """What others say, where enough of them do."""
    latest: dict[str, Report] = {}
    for report in sorted(reports, key=lambda report: report.id):
        latest[report.reporter] = report
    spam, ham = (sum(r.weight for r in latest.values() if r.label is label) for label in (Label.SPAM, Label.HAM))
    label = majority(spam, ham)
    said = spam - ham if label is Label.SPAM else ham
    if sure is not None and sure is not label:
        needed *= agreement.sure
    # Sums of weights such as .1 miss a whole number by a rounding error.
    if said + _ROUNDING < needed:
        return None
    return Reported(label=label, scope=scope, reports=tuple(r.id for r in latest.values() if r.label is label))


_ROUNDING = 1e-9
_TO_ONE = 2
"""Who say spam must be more than so many to one who says ham."""
_OPINIONS = 3
"""Own labels that are counted against each other, the latest."""

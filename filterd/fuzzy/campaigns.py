"""What reports are worth to others, by the campaigns they are about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from filterd.core.campaigns import campaigns
from filterd.core.influence import Caps, counted, trust
from filterd.core.reported import Report


def weights(reports: Iterable[Report], caps: Caps) -> Mapping[int, float]:
    """What each report is worth to others, [0, 1]: see ``core.influence``. Not for the event loop."""
    known = list(reports)
    groups = campaigns(sorted(known, key=lambda report: report.id))
    trusted, within = trust(groups), counted(groups, caps)
    return {report.id: trusted.get(report.reporter, 1.0) if report.id in within else 0.0 for report in known}

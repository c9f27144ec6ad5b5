"""What reports are worth to others, by the campaigns they are about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from filterd.core.campaigns import campaigns
from filterd.core.influence import Caps, counted, trust, wavering
from filterd.core.reported import Credit, Report


def credits_of(reports: Iterable[Report], caps: Caps) -> Mapping[int, Credit]:
    """What each report counts for, by its number: see ``core.influence``. Not for the event loop."""
    known = list(reports)
    groups = campaigns(sorted(known, key=lambda report: report.id))
    trusted, within, unsteady = trust(groups), counted(groups, caps), wavering(groups)
    return {
        report.id: Credit(
            weight=trusted.get(report.reporter, 1.0) if report.id in within else 0.0,
            is_wavering=report.reporter in unsteady,
        )
        for report in known
    }

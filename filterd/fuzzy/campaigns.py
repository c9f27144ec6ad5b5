"""Reports put into groups of near copies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from filterd.core.envelope import Channel
from filterd.core.influence import Caps, counted, trust
from filterd.core.near import EXACT
from filterd.core.reported import Report
from filterd.fuzzy.table import Table


def campaigns(reports: Iterable[Report]) -> list[list[Report]]:
    """Each report beside those on near copies of the first of its group. One look-up each: not for the event loop."""
    groups: dict[tuple[Channel, int | str], list[Report]] = {}
    leaders = {channel: Table() for channel in Channel}
    for report in sorted(reports, key=lambda report: report.id):
        if report.fingerprint.startswith(EXACT):
            groups.setdefault((report.channel, report.fingerprint), []).append(report)
            continue
        table = leaders[report.channel]
        near = table.find(report.fingerprint) if len(table) else []
        if near:
            groups[report.channel, near[0].id].append(report)
        else:
            table.add(report)
            groups[report.channel, report.id] = [report]
    return list(groups.values())


def weights(reports: Iterable[Report], caps: Caps) -> Mapping[int, float]:
    """What each report is worth to others, [0, 1]: see ``core.influence``."""
    known = list(reports)
    groups = campaigns(known)
    trusted, within = trust(groups), counted(groups, caps)
    return {report.id: trusted.get(report.reporter, 1.0) if report.id in within else 0.0 for report in known}

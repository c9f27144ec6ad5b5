"""Reported near-duplicates in memory.

Every worker keeps a copy of what stands in the ledger and asks for what changed; nothing else is shared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from filterd.core.envelope import Channel
from filterd.core.near import EXACT
from filterd.core.near_table import Table
from filterd.core.reported import Credit, Report
from filterd.core.verdict import Label
from filterd.feedback_ports import ReportChange

RETIRE_AFTER = 3
"""Near-duplicates that another model than the reported one has to get right by itself."""


class ReportedMemory:
    """Implements ``ports.ReportMemory``. For one thread."""

    def __init__(self) -> None:
        self._tables: dict[Channel, Table[Report]] = {channel: Table() for channel in Channel}
        self._exact: dict[tuple[Channel, str], dict[int, Report]] = {}
        self._reports: dict[int, Report] = {}
        self._agreements: Counter[int] = Counter()
        self._oldest: datetime | None = None
        """No report was given before; None without any."""

    def __len__(self) -> int:
        return len(self._reports)

    def apply(self, changes: Iterable[ReportChange]) -> None:
        """Learn of new labels, and forget those that stand no longer; in any order, and more than once."""
        for change in changes:
            known = self._reports.get(change.report.id)
            if change.is_standing:
                self._add(_as_known(change.report, known))
            else:
                self._remove(change.report.id)

    def replace(self, reports: Iterable[Report]) -> None:
        """Know these and no others."""
        known = self._reports
        self._tables = {channel: Table() for channel in Channel}
        self._exact, self._reports, self._oldest = {}, {}, None
        for report in reports:
            self._add(_as_known(report, known.get(report.id)))

    def forget_before(self, moment: datetime) -> None:
        """Forget labels given before ``moment``."""
        if self._oldest is None or self._oldest >= moment:
            # Asked twice a second: there is seldom anything to look for among 200,000.
            return
        for report in [report for report in self._reports.values() if report.given_at < moment]:
            self._remove(report.id)
        self._oldest = min((report.given_at for report in self._reports.values()), default=None)

    def find(self, channel: Channel, fingerprint: str) -> Sequence[Report]:
        """See ``ports.ReportMemory``."""
        if not fingerprint:
            return ()
        if fingerprint.startswith(EXACT):
            return tuple(self._exact.get((channel, fingerprint), {}).values())
        table = self._tables[channel]
        return table.find(fingerprint) if len(table) else ()

    def note_agreement(self, reports: Sequence[Report], label: Label, model: str) -> None:
        """See ``ports.ReportMemory``. A label is only retired by another model than the one it corrected."""
        for report in reports:
            if report.label is not label:
                self._agreements.pop(report.id, None)
            elif report.model != model:
                self._agreements[report.id] += 1

    def newest(self, most: int) -> Sequence[Report]:
        """The reports with the highest numbers, ascending."""
        return [self._reports[id] for id in sorted(self._reports)[-most:]]

    def weigh(self, credit: Mapping[int, Credit]) -> None:
        """Let reports count for what they were found to; those that are not named keep theirs."""
        for id, given in credit.items():
            report = self._reports.get(id)
            if report is not None and _credit_of(report) != given:
                self._add(_credited(report, given))

    def take_superfluous(self) -> Sequence[int]:
        """Numbers of the reports that the model in service no longer needs; each is given once."""
        found = [id for id, count in self._agreements.items() if count >= RETIRE_AFTER]
        for id in found:
            del self._agreements[id]
        return found

    def _add(self, report: Report) -> None:
        self._reports[report.id] = report
        self._oldest = report.given_at if self._oldest is None else min(self._oldest, report.given_at)
        if report.fingerprint.startswith(EXACT):
            self._exact.setdefault((report.channel, report.fingerprint), {})[report.id] = report
        else:
            self._tables[report.channel].add(report)

    def _remove(self, id: int) -> None:
        report = self._reports.pop(id, None)
        self._agreements.pop(id, None)
        if report is None:
            return
        if report.fingerprint.startswith(EXACT):
            key = (report.channel, report.fingerprint)
            self._exact[key].pop(id, None)
            if not self._exact[key]:
                del self._exact[key]
        else:
            self._tables[report.channel].remove(id)


def _as_known(report: Report, known: Report | None) -> Report:
    """Told again, it still counts for what it was found to."""
    return report if known is None else _credited(report, _credit_of(known))


def _credit_of(report: Report) -> Credit:
    return Credit(weight=report.weight, is_wavering=report.is_wavering)


def _credited(report: Report, credit: Credit) -> Report:
    return replace(report, weight=credit.weight, is_wavering=credit.is_wavering)

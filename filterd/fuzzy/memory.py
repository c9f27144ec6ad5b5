"""Reported near-duplicates in memory: one scan of all fingerprints, at most a third of a millisecond for 200,000.

Every worker keeps a copy of what stands in the ledger and asks for what changed; nothing else is shared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt

from filterd.core.envelope import Channel
from filterd.core.fingerprint import lanes
from filterd.core.near import EXACT, NEAR_BITS
from filterd.core.reported import Report
from filterd.core.verdict import Label
from filterd.feedback_ports import ReportChange

RETIRE_AFTER = 3
"""Near-duplicates that another model than the reported one has to get right by itself."""
_LANES = 4
_FIRST_BITS = 20
"""Of the first 64 bits: near texts seldom differ in more, and one in 500 of unrelated ones in no more."""
_FIRST_ROWS = 64


class _Table:
    """Fingerprints of one channel in rows: the first lane by itself, because most rows are ruled out by it."""

    def __init__(self) -> None:
        self._first: npt.NDArray[np.uint64] = np.zeros(_FIRST_ROWS, np.uint64)
        self._all: npt.NDArray[np.uint64] = np.zeros((_FIRST_ROWS, _LANES), np.uint64)
        self._differing: npt.NDArray[np.uint64] = np.zeros(_FIRST_ROWS, np.uint64)
        self._counts: npt.NDArray[np.uint8] = np.zeros(_FIRST_ROWS, np.uint8)
        self._is_near: npt.NDArray[np.bool_] = np.zeros(_FIRST_ROWS, np.bool_)
        self._reports: list[Report] = []
        self._rows: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._reports)

    def add(self, report: Report) -> None:
        row = self._rows.get(report.id, len(self._reports))
        if row == len(self._reports):
            if row == len(self._first):
                self._grow()
            self._reports.append(report)
        self._reports[row] = report
        self._rows[report.id] = row
        self._all[row] = lanes(report.fingerprint)
        self._first[row] = self._all[row, 0]

    def remove(self, id: int) -> None:
        """Put the last row in the place of the one that goes."""
        row = self._rows.pop(id, None)
        if row is None:
            return
        last = self._reports.pop()
        if last.id != id:
            self._reports[row] = last
            self._rows[last.id] = row
            self._all[row] = self._all[len(self._reports)]
            self._first[row] = self._all[row, 0]

    def find(self, fingerprint: str) -> list[Report]:
        count, wanted = len(self._reports), lanes(fingerprint)
        differing, counts, is_near = self._differing[:count], self._counts[:count], self._is_near[:count]
        np.bitwise_xor(self._first[:count], wanted[0], out=differing)
        np.bitwise_count(differing, out=counts)
        np.less_equal(counts, _FIRST_BITS, out=is_near)
        rows = np.flatnonzero(is_near)
        if not len(rows):
            return []
        bits = np.bitwise_count(self._all[rows] ^ wanted).sum(axis=1, dtype=np.uint16)
        return [self._reports[row] for row in rows[bits <= NEAR_BITS]]

    def _grow(self) -> None:
        rows = 2 * len(self._first)
        self._first = np.resize(self._first, rows)
        self._all = np.resize(self._all, (rows, _LANES))
        self._differing = np.zeros(rows, np.uint64)
        self._counts = np.zeros(rows, np.uint8)
        self._is_near = np.zeros(rows, np.bool_)


class ReportedMemory:
    """Implements ``ports.ReportMemory``. For one thread."""

    def __init__(self) -> None:
        self._tables = {channel: _Table() for channel in Channel}
        self._exact: dict[tuple[Channel, str], dict[int, Report]] = {}
        self._reports: dict[int, Report] = {}
        self._agreements: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._reports)

    def apply(self, changes: Iterable[ReportChange]) -> None:
        """Learn of new labels, and forget those that stand no longer; in any order, and more than once."""
        for change in changes:
            if change.is_standing:
                self._add(change.report)
            else:
                self._remove(change.report.id)

    def replace(self, reports: Iterable[Report]) -> None:
        """Know these and no others."""
        self._tables = {channel: _Table() for channel in Channel}
        self._exact, self._reports = {}, {}
        for report in reports:
            self._add(report)

    def forget_before(self, moment: datetime) -> None:
        """Forget labels given before ``moment``."""
        for report in [report for report in self._reports.values() if report.given_at < moment]:
            self._remove(report.id)

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

    def take_superfluous(self) -> Sequence[int]:
        """Numbers of the reports that the model in service no longer needs; each is given once."""
        found = [id for id, count in self._agreements.items() if count >= RETIRE_AFTER]
        for id in found:
            del self._agreements[id]
        return found

    def _add(self, report: Report) -> None:
        self._reports[report.id] = report
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

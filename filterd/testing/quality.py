"""What the store knows about quality, from dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from filterd.core.envelope import Channel, MessageId
from filterd.core.site_calibration import LabelledLogit
from filterd.ports import VerdictRow
from filterd.quality_ports import SiteCalibration
from filterd.testing.ledger import MemoryLedger

Rows = Mapping[tuple[MessageId, tuple[str, ...]], VerdictRow]


class MemoryQuality:
    """Implements ``quality_ports`` on the verdicts and labels of a ``MemoryStore``."""

    def __init__(self, rows: Rows, ledger: MemoryLedger, check: Callable[[], datetime]) -> None:
        """``check`` gives the time, or raises."""
        self._rows = rows
        self._ledger = ledger
        self._check = check
        self._calibrations: dict[tuple[Channel, str], SiteCalibration] = {}

    async def calibrations(self) -> Sequence[SiteCalibration]:
        """See ``quality_ports.Calibrations``."""
        self._check()
        return tuple(site for _, site in sorted(self._calibrations.items()))

    async def set_calibration(self, new: SiteCalibration) -> None:
        """See ``quality_ports.Calibrations``."""
        self._check()
        self._calibrations[new.channel, new.model] = new

    async def drop_calibration(self, channel: Channel, model: str, by: str) -> bool:  # noqa: ARG002  # nobody audits the memory
        """See ``quality_ports.Calibrations``."""
        self._check()
        return self._calibrations.pop((channel, model), None) is not None

    async def labelled_logits(self, channel: Channel, model: str, *, most: int) -> Sequence[LabelledLogit]:
        """See ``quality_ports.Calibrations``."""
        self._check()
        judged = {row.id: row for row in self._rows.values() if row.channel is channel and row.model == model}
        found = [
            LabelledLogit(message=row.id, label=given.label, logit=row.logit, fingerprint=row.fingerprint)
            for given in reversed(self._ledger.standing())
            if (row := judged.get(given.message_id)) is not None and row.logit is not None
        ]
        return tuple(found[:most])

    async def spam_share(self, channel: Channel, model: str, *, most: int) -> float | None:
        """See ``quality_ports.Calibrations``."""
        self._check()
        latest = sorted(self._rows.values(), key=lambda row: row.id, reverse=True)[:most]
        meant = [
            r.probability for r in latest if (r.channel, r.model) == (channel, model) and r.probability is not None
        ]
        return sum(meant) / len(meant) if meant else None

"""What the store knows about quality, from dictionaries."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from filterd.core.envelope import Channel, MessageId
from filterd.core.quality import SCORE_EDGES
from filterd.core.questions import Candidate
from filterd.core.site_calibration import LabelledLogit
from filterd.ports import VerdictRow
from filterd.quality_ports import LabelledVerdict, SiteCalibration, Tally, Unlabelled
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
        sent = [row for row in self._rows.values() if row.outcome != "taught"]
        latest = sorted(sent, key=lambda row: row.id, reverse=True)[:most]
        meant = [
            r.probability for r in latest if (r.channel, r.model) == (channel, model) and r.probability is not None
        ]
        return sum(meant) / len(meant) if meant else None

    async def tally(self, since: datetime, until: datetime, *, most: int) -> Sequence[Tally]:
        """See ``quality_ports.Tallies``."""
        self._check()
        taken = [row for row in self._by_time(since) if row.received_at < until][:most]
        counts = Counter((row.channel, row.model, row.action, row.script, _score(row)) for row in taken)
        return tuple(
            Tally(channel=channel, model=model, action=action, script=script, score=score, count=count)
            for (channel, model, action, script, score), count in counts.items()
        )

    async def model_at(self, channel: Channel, moment: datetime) -> tuple[str, datetime] | None:
        """See ``quality_ports.Tallies``."""
        self._check()
        found = (row for row in self._by_time(moment) if row.channel is channel and row.model)
        row = next(found, None)
        return None if row is None else (row.model, row.received_at)

    async def labelled_since(self, since: datetime, *, most: int) -> Sequence[LabelledVerdict]:
        """See ``quality_ports.Tallies``."""
        self._check()
        rows = {row.id: row for row in reversed(self._by_time(since))}
        found: dict[MessageId, LabelledVerdict] = {}
        for given in reversed(self._ledger.standing()):
            row = rows.get(given.message_id)
            if row is not None and given.given_at >= since and row.id not in found:
                found[row.id] = LabelledVerdict(
                    message=row.id,
                    channel=row.channel,
                    received_at=row.received_at,
                    model=row.model,
                    action=row.action,
                    probability=row.probability,
                    label=given.label,
                    is_audit=row.is_audit,
                )
        return tuple(found.values())[:most]

    async def audits_waiting(self, since: datetime) -> Mapping[Channel, int]:
        """See ``quality_ports.Tallies``."""
        self._check()
        labelled = {given.message_id for given in self._ledger.standing()}
        waiting = {row.id: row.channel for row in self._by_time(since) if row.is_audit and row.id not in labelled}
        return Counter(waiting.values())

    async def newest_labels(self) -> Mapping[Channel, datetime]:
        """See ``quality_ports.Tallies``."""
        self._check()
        channels = {row.id: row.channel for row in self._rows.values()}
        newest: dict[Channel, datetime] = {}
        for given in self._ledger.standing():
            channel = channels[given.message_id]
            newest[channel] = max(given.given_at, newest.get(channel, given.given_at))
        return newest

    async def unlabelled(self, since: datetime, *, most: int) -> Unlabelled:
        """See ``quality_ports.Questions``."""
        self._check()
        texts = {row.id: row.fingerprint for row in self._rows.values()}
        labelled = [given.message_id for given in reversed(self._ledger.standing())]
        newest = [
            row
            for row in sorted(self._by_time(since), key=lambda row: (row.received_at, row.id), reverse=True)
            if row.id not in labelled and row.outcome in {"relayed", "held", "advised"}
        ]
        audit = [row for row in newest if row.is_audit][:most]
        candidates = [
            Candidate(
                message=row.id,
                probability=row.probability,
                threshold=row.threshold,
                correction=row.correction,
                fingerprint=row.fingerprint,
                is_audit=row.is_audit,
            )
            for row in newest
            if row in newest[:most] or row in audit
        ]
        return Unlabelled(candidates=tuple(candidates), known=tuple(texts[id] for id in labelled if texts[id]))

    def _by_time(self, since: datetime) -> list[VerdictRow]:
        rows = [row for row in self._rows.values() if row.received_at >= since and row.outcome != "taught"]
        return sorted(rows, key=lambda row: row.received_at)


def _score(row: VerdictRow) -> int:
    return -1 if row.probability is None else bisect_right(SCORE_EDGES, row.probability)

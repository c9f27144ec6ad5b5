"""What is learned from, in dictionaries: inputs that were kept, labels and where models disagree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from filterd.core.alarm import Record
from filterd.core.envelope import Channel, MessageId
from filterd.core.verdict import Action, Label, OutcomeKind, Scan
from filterd.feedback_ports import KeptInput, LabelledInput, PastMessage, ReportChange, Similar
from filterd.model_ports import Disagreement
from filterd.ports import (
    VerdictRow,
)
from filterd.testing.ledger import MemoryLedger


class MemoryLearning:
    """Verdicts as ``feedback_ports`` and ``model_ports`` read them.

    ``now`` says the time, or raises what the store is to fail with.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.ledger = MemoryLedger()
        self._verdicts: dict[tuple[MessageId, tuple[str, ...]], VerdictRow] = {}
        self._scans: dict[MessageId, Scan] = {}
        self._example_senders: dict[MessageId, str] = {}
        self._disagreements: dict[tuple[MessageId, str], Disagreement] = {}

    async def labelled_inputs(
        self, channel: Channel, *, model: str | None = None, after: int = 0, most: int = 10_000
    ) -> Sequence[LabelledInput]:
        """See ``ports.LabelledInputs``."""
        self._now()
        senders = self._example_senders | {id: row.sender for (id, _), row in self._verdicts.items()}
        found = self.ledger.inputs(self._scans, senders)
        return [i for i in found if i.channel is channel and i.id > after and model in (None, i.model)][:most]

    async def past(
        self, channel: Channel, *, since: datetime, after: MessageId | None = None, most: int = 1_000
    ) -> Sequence[PastMessage]:
        """See ``feedback_ports.Past``."""
        self._now()
        labels = {given.message_id: given.label for given in self.ledger.standing()}
        found = {
            id: PastMessage(
                id=id,
                received_at=row.received_at,
                sender=row.sender,
                recipients=row.recipients,
                action=row.action,
                probability=row.probability,
                label=labels.get(id),
                hashing=self._scans[id].hashing,
                tokens=self._scans[id].tokens,
            )
            for (id, _), row in sorted(self._verdicts.items(), reverse=True)
            if row.channel is channel and row.received_at >= since and id in self._scans and self._scans[id].tokens
        }
        return [found[id] for id in sorted(found) if after is None or id > after][:most]

    async def background(self, channel: Channel, *, most: int) -> Sequence[bytes]:
        """See ``ports.Backgrounds``."""
        self._now()
        labelled = {given.message_id for given in self.ledger.all()}
        channels = {id: row.channel for (id, _), row in self._verdicts.items()}
        latest = sorted(self._scans.items(), reverse=True)
        found = [s.tokens for id, s in latest if s.tokens and id not in labelled and channels.get(id) is channel]
        return found[:most]

    async def kept_input(self, id: MessageId) -> KeptInput | None:
        """See ``ports.Examples``."""
        self._now()
        scan = self._scans.get(id)
        channel = next((row.channel for (known, _), row in self._verdicts.items() if known == id), None)
        if scan is None or channel is None or not scan.tokens:
            return None
        return KeptInput(channel=channel, hashing=scan.hashing, tokens=scan.tokens)

    async def similar(self, channel: Channel, fingerprint: str, *, most: int = 3) -> Sequence[Similar]:
        """See ``ports.Examples``."""
        self._now()
        return self.ledger.similar(channel, fingerprint)[:most]

    async def record_disagreement(self, found: Disagreement) -> None:
        """See ``model_ports.Disagreements``."""
        self._now()
        self._disagreements.setdefault((found.message, found.candidate), found)

    async def disagreements(self, channel: Channel, candidate: str, *, limit: int = 50) -> Sequence[Disagreement]:
        """See ``model_ports.Disagreements``."""
        self._now()
        found = [d for d in self._disagreements.values() if d.channel is channel and d.candidate == candidate]
        return sorted(found, key=lambda d: d.message, reverse=True)[:limit]

    async def fared(self, channel: Channel, since: datetime) -> Mapping[str, Record]:
        """See ``model_ports.TrackRecords``."""
        self._now()
        said = {(given.message_id, given.label) for given in self.ledger.standing()}
        found: dict[str, Record] = {}
        for row in self._verdicts.values():
            was_sent = row.outcome != OutcomeKind.TAUGHT.value
            if was_sent and row.channel is channel and row.received_at >= since and row.model:
                was_told = row.outcome == OutcomeKind.ADVISED.value and row.action in {Action.QUARANTINE, Action.REJECT}
                held = row.outcome == OutcomeKind.HELD.value or was_told
                before = found.get(row.model, Record(held=0, wrongly_held=0, passed=0, missed=0))
                found[row.model] = Record(
                    held=before.held + held,
                    wrongly_held=before.wrongly_held + (held and (row.id, Label.HAM) in said),
                    passed=before.passed + (not held),
                    missed=before.missed + (not held and (row.id, Label.SPAM) in said),
                )
        return found

    async def report_changes(self, since: datetime | None, *, most: int) -> Sequence[ReportChange]:
        """See ``ports.Reports``."""
        self._now()
        return self.ledger.changes(since, most)

    async def retire(self, ids: Sequence[int]) -> None:
        """See ``ports.Reports``."""
        self.ledger.retire(ids, self._now())

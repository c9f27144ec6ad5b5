"""The feedback ledger in a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from filterd.core.envelope import Channel, MessageId, address_key, domain_of, is_within
from filterd.core.near import ALIKE_BITS, is_near, likeness
from filterd.core.reported import Report
from filterd.core.verdict import Feedback, Scan
from filterd.feedback_ports import LabelledInput, Labels, ReportChange, Similar
from filterd.ports import VerdictRow


@dataclass(slots=True)
class Entry:
    """One label; it stands until it is revoked, and acts on near-duplicates until it retires."""

    feedback: Feedback
    report: Report
    changed_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str = ""
    is_retired: bool = False

    @property
    def is_revoked(self) -> bool:
        """Whether it stands no longer."""
        return self.revoked_at is not None

    def revoke(self, by: str, now: datetime) -> None:
        """Let it stand no longer."""
        self.revoked_at, self.revoked_by, self.changed_at = now, by, now


class MemoryLedger:
    """Labels in the order they were given."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._next = 1

    def standing(self) -> list[Feedback]:
        """Labels that were not revoked."""
        return [entry.feedback for entry in self._entries if not entry.is_revoked]

    def all(self) -> list[Feedback]:
        """Labels, revoked ones too."""
        return [entry.feedback for entry in self._entries]

    def add(self, feedback: Feedback, rows: Sequence[VerdictRow]) -> bool:
        """See ``ports.FeedbackLedger.add_feedback``; ``rows`` are the verdicts on the message."""
        keys = sorted({address_key(address) for row in rows for address in row.recipients})
        own, first = address_key(feedback.recipient), rows[0]
        recipients = (own,) if own in keys else tuple(keys)
        return self.append(feedback, first.channel, first.fingerprint, first.model, recipients)

    def append(
        self, feedback: Feedback, channel: Channel, fingerprint: str, model: str, recipients: tuple[str, ...]
    ) -> bool:
        """The same where this is known of the message."""
        for entry in self._entries:
            given = entry.feedback
            if entry.is_revoked or (given.message_id, given.reporter) != (feedback.message_id, feedback.reporter):
                continue
            if given.label is feedback.label:
                return False
            entry.revoke(feedback.reporter, feedback.given_at)
        id, self._next = self._next, self._next + 1
        report = Report(
            id=id,
            channel=channel,
            message=feedback.message_id,
            fingerprint=fingerprint,
            label=feedback.label,
            reporter=feedback.reporter,
            recipients=recipients,
            given_at=feedback.given_at,
            model=model,
            is_for_all=feedback.is_for_all,
        )
        self._entries.append(Entry(feedback, report, feedback.given_at))
        return True

    def changes(self, since: datetime | None, most: int) -> Sequence[ReportChange]:
        """See ``ports.Reports.report_changes``."""
        found = [
            ReportChange(
                report=entry.report,
                changed_at=entry.changed_at,
                is_standing=not (entry.is_revoked or entry.is_retired),
            )
            for entry in self._entries
            if entry.report.fingerprint
        ]
        wanted = [c for c in found if (c.is_standing if since is None else c.changed_at >= since)]
        return tuple(sorted(wanted, key=lambda c: (c.changed_at, c.report.id))[-most:])

    def revoke(
        self,
        labels: Labels,
        near: set[str] | None,
        senders: Mapping[MessageId, str],
        by: str,
        now: datetime,
        *,
        is_rehearsal: bool,
    ) -> Sequence[int]:
        """See ``ports.FeedbackLedger.revoke``; ``near`` are the fingerprints of its campaign."""
        found = []
        for entry in self._entries:
            given = entry.feedback
            if (
                entry.is_revoked
                or (labels.message and given.message_id != labels.message)
                or (labels.reporter and given.reporter != labels.reporter)
                or (labels.since and given.given_at < labels.since)
                or (labels.until and given.given_at >= labels.until)
                or (near is not None and not any(is_near(entry.report.fingerprint, text) for text in near))
            ):
                continue
            sender = domain_of(senders.get(given.message_id, ""))
            if labels.sender_domain and not is_within(sender, labels.sender_domain):
                continue
            found.append(entry)
        if not is_rehearsal:
            for entry in found:
                entry.revoke(by, now)
        return [entry.report.id for entry in found]

    def entries(self) -> Sequence[Entry]:
        """All labels as they are now."""
        return tuple(self._entries)

    def take_back(self, ids: Iterable[int], by: str, now: datetime) -> None:
        """Revoke these standing labels."""
        for entry in self._entries:
            if entry.report.id in set(ids) and not entry.is_revoked:
                entry.revoke(by, now)

    def given_with_release(self, message: MessageId | None, by: str) -> set[int]:
        """Numbers of the standing labels that came with the release of a message."""
        meant = (message, by, "release")
        return {
            entry.report.id
            for entry in self._entries
            if not entry.is_revoked
            and (entry.feedback.message_id, entry.feedback.reporter, entry.feedback.origin) == meant
        }

    def inputs(self, scans: Mapping[MessageId, Scan], senders: Mapping[MessageId, str]) -> list[LabelledInput]:
        """Standing labels on messages whose scan has what the model read."""
        return [
            LabelledInput(
                id=entry.report.id,
                message=entry.feedback.message_id,
                channel=entry.report.channel,
                label=entry.report.label,
                reporter=entry.report.reporter,
                given_at=entry.report.given_at,
                sender=address_key(senders.get(entry.feedback.message_id, "")),
                recipients=entry.report.recipients,
                fingerprint=entry.report.fingerprint,
                is_for_all=entry.report.is_for_all,
                model=entry.report.model,
                logit=scan.logit,
                hashing=scan.hashing,
                tokens=scan.tokens,
            )
            for entry in self._entries
            if not entry.is_revoked and (scan := scans.get(entry.feedback.message_id)) is not None and scan.tokens
        ]

    def similar(self, channel: Channel, fingerprint: str) -> list[Similar]:
        """See ``ports.Examples.similar``."""
        found = [
            Similar(
                message=entry.feedback.message_id,
                report=entry.report,
                distance=likeness(fingerprint, entry.report.fingerprint),
            )
            for entry in self._entries
            if not entry.is_revoked and entry.report.channel is channel
        ]
        near = [similar for similar in found if similar.distance <= ALIKE_BITS]
        return sorted(near, key=lambda similar: (similar.distance, similar.report.id))

    def retire(self, ids: Sequence[int], now: datetime) -> None:
        """See ``ports.Reports.retire``."""
        for entry in self._entries:
            if entry.report.id in ids and not entry.is_retired:
                entry.is_retired, entry.changed_at = True, now

    def forget(self, address: str, senders: Mapping[MessageId, str]) -> int:
        """Drop labels on what ``address`` sent, and take it out of those that speak for its mail; how many."""
        count = self.drop(lambda given: address_key(senders.get(given.message_id, "")) == address)
        for entry in [entry for entry in self._entries if address in entry.report.recipients]:
            left = tuple(key for key in entry.report.recipients if key != address)
            entry.report = replace(entry.report, recipients=left)
            if not left:
                self._entries.remove(entry)
            count += 1
        return count

    def drop(self, is_gone: Callable[[Feedback], bool]) -> int:
        """Forget labels; how many."""
        before = len(self._entries)
        self._entries = [entry for entry in self._entries if not is_gone(entry.feedback)]
        return before - len(self._entries)

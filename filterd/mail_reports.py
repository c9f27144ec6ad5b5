"""Takes reports that come as mail: read in a scanner process, written down before their sender hears 250.

Whose reports are believed is decided by the edge, before there is a message.
"""

from __future__ import annotations

from collections.abc import Sequence

from filterd.core.envelope import Envelope, MessageId, address_key
from filterd.core.report_mail import ReportMail
from filterd.core.verdict import Label, Reply
from filterd.errors import FilterdError, NotFound, ScanFailed, TemporaryError, Unscannable
from filterd.feedback_ports import ReportReader
from filterd.labeller import Labeller
from filterd.log import Events
from filterd.replies import REPORT_UNDECIDED, REPORT_UNREADABLE, report_kept, report_names_nothing, smtp_reply


class MailReports:
    """Turns mail to a report address into labels."""

    def __init__(self, reader: ReportReader, labeller: Labeller, *, events: Events) -> None:
        self._reader = reader
        self._labeller = labeller
        self._events = events

    async def take(self, envelope: Envelope, raw: bytes, labels: Sequence[Label]) -> Reply:
        """Label what the sender of ``envelope`` reports; ``labels`` are what the address it went to can mean.

        The reply is final: where it is positive, every label it tells of is durable.
        """
        try:
            report = await self._reader.read_report(raw)
            return await self._label(envelope, report, labels)
        except Unscannable as exc:
            return self._unread(envelope, "unreadable", exc.detail, REPORT_UNREADABLE)
        except (TemporaryError, ScanFailed, TimeoutError) as exc:
            self._labeller.count("failed")
            detail = exc.detail if isinstance(exc, FilterdError) else "timed out"
            self._events.report_failed(envelope.id, self._labeller.origin, detail)
            return smtp_reply(exc)

    async def _label(self, envelope: Envelope, report: ReportMail, labels: Sequence[Label]) -> Reply:
        label = labels[0] if len(labels) == 1 else report.label
        self._labeller.count("unknown", report.strangers)
        if not report.ids and not report.strangers:
            return self._unread(envelope, "unreadable", "no message in it", report_names_nothing(is_attached=False))
        if label is None:
            return self._unread(envelope, "unreadable", "neither spam nor ham", REPORT_UNDECIDED)
        known = [id for id in report.ids if await self._add(envelope, id, label)]
        unknown = len(report.ids) - len(known) + report.strangers
        if not known:
            return self._unread(envelope, "", "not one of ours", report_names_nothing(is_attached=True))
        return report_kept(len(known), label, unknown)

    async def _add(self, envelope: Envelope, id: MessageId, label: Label) -> bool:
        """Whether the message is known. Raises StoreUnavailable."""
        reporter = address_key(envelope.sender)
        try:
            await self._labeller.add(id, label, reporter, reporter)
        except NotFound:
            return False
        return True

    def _unread(self, envelope: Envelope, result: str, why: str, reply: Reply) -> Reply:
        if result:
            self._labeller.count(result)
        self._events.report_unread(envelope.id, self._labeller.origin, why)
        return reply

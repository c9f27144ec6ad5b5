"""Writes down what people say about messages, and keeps count of it."""

from __future__ import annotations

from filterd.core.envelope import MessageId
from filterd.core.verdict import Feedback, Label
from filterd.errors import NotFound
from filterd.feedback_ports import FeedbackLedger
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.ports import Clock


async def write_down(feedback: Feedback, ledger: FeedbackLedger, metrics: Metrics, events: Events) -> bool:
    """Add a label to the ledger, count it and tell of it; whether it is new. Raises NotFound and StoreUnavailable."""
    is_new = await ledger.add_feedback(feedback)
    if is_new:
        metrics.feedback.labels(feedback.label.value).inc()
    events.feedback(feedback, is_new=is_new)
    return is_new


class Labeller:
    """Adds labels of one origin to the ledger."""

    def __init__(self, ledger: FeedbackLedger, *, origin: str, clock: Clock, metrics: Metrics, events: Events) -> None:
        """``origin`` is one of ``metrics.REPORT_ORIGINS``."""
        self._ledger = ledger
        self._clock = clock
        self._metrics = metrics
        self._events = events
        self.origin = origin

    async def add(self, id: MessageId, label: Label, reporter: str, recipient: str) -> bool:
        """Write down that ``reporter`` calls the message so; whether that is new. Durable on return.

        Raises NotFound for an unknown id, and StoreUnavailable.
        """
        feedback = Feedback(
            message_id=id,
            label=label,
            reporter=reporter,
            given_at=self._clock.now(),
            origin=self.origin,
            recipient=recipient,
        )
        try:
            is_new = await write_down(feedback, self._ledger, self._metrics, self._events)
        except NotFound:
            self.count("unknown")
            raise
        self.count("new" if is_new else "repeated")
        return is_new

    def count(self, result: str, times: int = 1) -> None:
        """Count what became of a report: one of ``metrics.REPORT_RESULTS``."""
        self._metrics.reports.labels(self.origin, result).inc(times)

"""Which held messages and which verdicts a query asks for: those that fit everything that is given."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from filterd.core.envelope import Channel
from filterd.core.verdict import Action, OutcomeKind, Reason
from filterd.review_ports import HeldQuery, Keeping, VerdictQuery
from filterd.web.api.parts import MAX_PAGE, Moment, message_id

Part = Annotated[str, Field(max_length=256)]
Probability = Annotated[float, Field(ge=0, le=1)]


class _Filter(BaseModel):
    query: Part = ""
    """Part of the sender or of a recipient; of held messages, of the subject too."""
    sender: Part = ""
    """Part of the envelope sender."""
    recipient: Part = ""
    """Part of a recipient."""
    since: Moment | None = None
    until: Moment | None = None
    """Received at ``since`` or later, and before ``until``."""
    reason: frozenset[Reason] = frozenset()
    """Any of these; may be given several times."""
    channel: Channel | None = None
    least: Probability | None = None
    most: Probability | None = None
    """Both included; what was not scored fits neither."""
    before: str = ""
    """The ``next`` of the page before."""
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50

    @property
    def _shared(self) -> dict[str, Any]:
        """What both questions have. One row more than the page shows whether there is another. Raises NotFound."""
        return {
            "text": self.query,
            "sender": self.sender,
            "recipient": self.recipient,
            "since": self.since,
            "until": self.until,
            "reasons": self.reason,
            "channel": self.channel,
            "least_probability": self.least,
            "most_probability": self.most,
            "before": message_id(self.before) if self.before else None,
            "limit": self.limit + 1,
        }


class HeldFilter(_Filter):
    """Which held messages."""

    subject: Part = ""
    """Part of the subject."""
    state: Keeping = Keeping.HELD

    @property
    def asked(self) -> HeldQuery:
        """The question. Raises NotFound for a ``before`` that is no id."""
        return HeldQuery(subject=self.subject, states=self.state.states, **self._shared)


class VerdictFilter(_Filter):
    """Which verdicts."""

    action: frozenset[Action] = frozenset()
    outcome: frozenset[OutcomeKind] = frozenset()
    """Any of these; may be given several times."""

    @property
    def asked(self) -> VerdictQuery:
        """The question. Raises NotFound for a ``before`` that is no id."""
        return VerdictQuery(actions=self.action, outcomes=self.outcome, **self._shared)

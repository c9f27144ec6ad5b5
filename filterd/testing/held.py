"""A held message in a dictionary."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from filterd.core.envelope import MessageId
from filterd.ports import HeldMessage, HeldState


@dataclass(slots=True)
class Held:
    """A held message; ``names`` are the ids of all attempts to send it."""

    message: HeldMessage
    names: set[MessageId]
    key: object
    since: datetime
    lease_until: datetime | None = None
    claimed_by: str = ""
    is_gone: bool = False
    """Deleted, and the body is not kept any more."""

    def move(self, state: HeldState, detail: str = "") -> None:
        """Give it another state, and a detail if there is one."""
        summary = self.message.summary
        self.message = replace(self.message, summary=replace(summary, state=state, detail=detail or summary.detail))

    def is_free(self, now: datetime) -> bool:
        """Whether it may be released or deleted: held, or in a release whose lease is over."""
        state = self.message.summary.state
        is_over = state is HeldState.RELEASING and self.lease_until is not None and self.lease_until < now
        return state is HeldState.HELD or is_over

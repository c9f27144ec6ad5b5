"""Deleted messages that can be put back, from a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol, TypeVar

from filterd.core.access import Reach
from filterd.core.envelope import MessageId
from filterd.errors import NotFound, UsageError
from filterd.ports import HeldMessage, HeldState


class Deleted(Protocol):
    """A message of a ``MemoryStore``."""

    message: HeldMessage
    since: datetime
    claimed_by: str
    is_gone: bool


T = TypeVar("T", bound=Deleted)


class MemoryBin:
    """Implements ``review_ports.Bin``."""

    def __init__(
        self,
        find: Callable[[MessageId, Reach], T],
        split: Callable[[T, Reach], T],
        held: Mapping[MessageId, T],
        check: Callable[[], datetime],
    ) -> None:
        """``check`` gives the time, or raises."""
        self._find: Callable[[MessageId, Reach], T] = find
        self._split: Callable[[T, Reach], T] = split
        self._held = held
        self._check = check

    async def restore(self, id: MessageId, by: str, reach: Reach) -> None:  # noqa: ARG002  # nobody audits the memory
        """See ``review_ports.Bin``."""
        now = self._check()
        known = self._find(id, reach)
        state = known.message.summary.state
        if state is not HeldState.DELETED:
            raise UsageError(f"message {id} is {state}, not deleted")
        if known.is_gone:
            raise NotFound(f"message {id} was deleted")
        known = self._split(known, reach)
        summary = replace(known.message.summary, state=HeldState.HELD)
        known.message, known.since, known.claimed_by = replace(known.message, summary=summary), now, ""

    async def deleted_by(self, by: str, since: datetime, until: datetime) -> Sequence[MessageId]:
        """See ``review_ports.Bin``."""
        self._check()
        return tuple(
            id
            for id, known in sorted(self._held.items())
            if known.message.summary.state is HeldState.DELETED and not known.is_gone
            if known.claimed_by == by and since <= known.since < until
        )

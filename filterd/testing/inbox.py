"""The inbox of SMS in a dictionary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from filterd.core.envelope import MessageId
from filterd.errors import NotFound
from filterd.ports import (
    Arrival,
    SmsMessage,
    SmsPart,
)


@dataclass(slots=True)
class _Sms:
    """A message in the inbox; ``state`` is partial, judge, forward or done."""

    parts: list[SmsPart]
    state: str
    due_at: datetime


class MemoryInbox:
    """See ``ports.SmsInbox``; ``now`` says the time, or raises what the store is to fail with."""

    def __init__(self, now: Callable[[], datetime], reassembly_seconds: float) -> None:
        self._now = now
        self._reassembly_seconds = reassembly_seconds
        self._sms: dict[MessageId, _Sms] = {}

    async def receive(self, part: SmsPart, id: MessageId) -> tuple[Arrival, SmsMessage | None]:
        """See ``ports.SmsInbox``."""
        now = self._now()
        for known_id, known in self._sms.items():
            if any((p.provider, p.provider_id) == (part.provider, part.provider_id) for p in known.parts):
                return Arrival.DUPLICATE, _sms(known_id, known) if known.state == "judge" else None
        judged_by = now + timedelta(seconds=60)
        if part.parts <= 1:
            self._sms[id] = _Sms([part], "judge", judged_by)
            return Arrival.COMPLETE, _sms(id, self._sms[id])
        for known_id, known in self._sms.items():
            if known.state == "partial" and _belongs(part, known.parts):
                id = known_id
                break
        else:
            self._sms[id] = _Sms([], "partial", now + timedelta(seconds=self._reassembly_seconds))
        whole = self._sms[id]
        whole.parts.append(part)
        if len(whole.parts) < part.parts:
            return Arrival.PARTIAL, None
        whole.state, whole.due_at = "judge", judged_by
        return Arrival.COMPLETE, _sms(id, whole)

    async def decided(self, id: MessageId, *, forward: bool) -> None:
        """See ``ports.SmsInbox``."""
        self._advance(id, "forward" if forward else "done", 0)

    async def claim_work(self, *, limit: int, lease_seconds: float) -> Sequence[tuple[SmsMessage, bool]]:
        """See ``ports.SmsInbox``."""
        now = self._now()
        due = [i for i in self._sms.items() if i[1].state != "done" and i[1].due_at <= now]
        work = []
        for id, known in sorted(due, key=lambda i: i[1].due_at)[:limit]:
            known.state = "judge" if known.state == "partial" else known.state
            known.due_at = now + timedelta(seconds=lease_seconds)
            work.append((_sms(id, known), known.state == "forward"))
        return tuple(work)

    async def forwarded(self, id: MessageId) -> None:
        """See ``ports.SmsInbox``."""
        self._advance(id, "done", 0)

    async def retry_later(self, id: MessageId, delay_seconds: float) -> None:
        """See ``ports.SmsInbox``."""
        self._advance(id, "", delay_seconds)

    def _advance(self, id: MessageId, state: str, delay_seconds: float) -> None:
        now = self._now()
        if id not in self._sms:
            raise NotFound(f"no SMS {id}")
        known = self._sms[id]
        known.state = state or known.state
        known.due_at = now + timedelta(seconds=delay_seconds)


def _belongs(part: SmsPart, parts: Sequence[SmsPart]) -> bool:
    first = parts[0]
    return part.part not in {p.part for p in parts} and all(
        getattr(part, name) == getattr(first, name)
        for name in ("provider", "sender", "recipient", "reference", "parts")
    )


def _sms(id: MessageId, known: _Sms) -> SmsMessage:
    return SmsMessage(id=id, parts=tuple(sorted(known.parts, key=lambda p: p.part)))

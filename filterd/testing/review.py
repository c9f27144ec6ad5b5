"""What people look through, from dictionaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from filterd.core.access import Reach
from filterd.core.campaigns import campaigns
from filterd.core.envelope import MessageId, address_key
from filterd.core.threshold_preview import Judged
from filterd.core.verdict import Label
from filterd.errors import NotFound
from filterd.ports import HeldMessage, HeldState, HeldSummary, VerdictRow
from filterd.review_ports import COUNT_LIMIT, IN_QUARANTINE, Campaign, HeldPage, HeldQuery, HourCount, VerdictQuery
from filterd.testing.ledger import MemoryLedger


class Held(Protocol):
    """A held message of a ``MemoryStore``."""

    message: HeldMessage


class MemoryReview:
    """Implements ``review_ports.Review`` on what a ``MemoryStore`` has."""

    def __init__(
        self,
        rows: Mapping[tuple[MessageId, tuple[str, ...]], VerdictRow],
        held: Mapping[MessageId, Held],
        ledger: MemoryLedger,
        check: Callable[[], datetime],
        message_of: Callable[[MessageId], MessageId],
    ) -> None:
        """``check`` gives the time, or raises."""
        self._rows = rows
        self._held = held
        self._ledger = ledger
        self._check = check
        self._message_of = message_of

    async def list_held(self, query: HeldQuery) -> Sequence[HeldSummary]:
        """See ``review_ports.Review``."""
        return self._found(query)[: query.limit]

    async def page_held(self, query: HeldQuery) -> HeldPage:
        """See ``review_ports.Review``."""
        count = await self.count_held(replace(query, before=None))
        return HeldPage(held=await self.list_held(query), count=count)

    async def count_held(self, query: HeldQuery) -> int:
        """See ``review_ports.Review``."""
        return min(len(self._found(query)), COUNT_LIMIT)

    def _found(self, query: HeldQuery) -> Sequence[HeldSummary]:
        self._check()
        all_of_them = (
            part_of(held.message, query.reach).summary for _, held in sorted(self._held.items(), reverse=True)
        )
        return tuple(summary for summary in all_of_them if summary.recipients and _fits_held(summary, query))

    async def history(self, query: VerdictQuery) -> Sequence[VerdictRow]:
        """See ``review_ports.Review``."""
        self._check()
        rows = sorted(self._rows.values(), key=lambda row: row.id, reverse=True)
        parts = (replace(row, recipients=query.reach.part_of(row.recipients)) for row in rows)
        found = [row for row in parts if row.recipients and _fits_verdict(row, query)]
        last = found[: query.limit][-1:]
        return tuple(row for row in found if row.id >= last[0].id)

    async def verdicts(self, id: MessageId, reach: Reach) -> Sequence[VerdictRow]:
        """See ``review_ports.Review``."""
        self._check()
        message = self._message_of(id)
        parts = [
            replace(row, recipients=reach.part_of(row.recipients))
            for (known, _), row in sorted(self._rows.items())
            if known == message
        ]
        found = tuple(row for row in parts if row.recipients)
        if not found:
            raise NotFound(f"no message {id}")
        return found

    async def judged(self, reach: Reach, since: datetime, *, most: int) -> Sequence[Judged]:
        """See ``review_ports.Review``."""
        rows = await self.history(VerdictQuery(reach=reach, since=since, least_probability=0.0, limit=most))
        labels = {given.message_id: given.label for given in self._ledger.standing()}
        released = {
            held.message.envelope.id for held in self._held.values() if held.message.summary.state is HeldState.RELEASED
        }
        return tuple(
            Judged(probability=row.probability, label=labels.get(row.id), was_released=row.id in released)
            for row in {row.id: row for row in rows}.values()
            if row.probability is not None
        )

    async def traffic(self, reach: Reach, since: datetime, until: datetime) -> Sequence[HourCount]:
        """See ``review_ports.Review``."""
        self._check()
        counts = Counter(
            (row.received_at.replace(minute=0, second=0, microsecond=0), row.channel, row.action)
            for row in self._rows.values()
            if since <= row.received_at < until
            and row.outcome != "taught"
            and (reach.is_everybody or reach.part_of(row.recipients))
        )
        return tuple(
            HourCount(hour=hour, channel=channel, action=action, count=count)
            for (hour, channel, action), count in counts.items()
        )

    async def campaigns(
        self, reach: Reach, since: datetime, *, least: int = 2, most: int = 5_000
    ) -> Sequence[Campaign]:
        """See ``review_ports.Review``."""
        newest = await self.history(VerdictQuery(reach=reach, since=since, limit=most))
        messages = {row.id: row for row in newest}.values()
        groups = sorted(campaigns(messages), key=len, reverse=True)
        return [self._described(group, reach) for group in groups if len(group) >= least]

    def _described(self, group: Sequence[VerdictRow], reach: Reach) -> Campaign:
        ids = [row.id for row in group]
        held = [
            held.message.summary
            for id in ids
            for held in self._held.values()
            if held.message.envelope.id == id
            and held.message.summary.state in IN_QUARANTINE
            and reach.part_of(held.message.summary.recipients)
        ]
        labels = [given.label for given in self._ledger.standing() if given.message_id in ids]
        return Campaign(
            channel=group[0].channel,
            count=len(group),
            first_at=min(row.received_at for row in group),
            last_at=max(row.received_at for row in group),
            messages=tuple(ids),
            held=tuple(summary.id for summary in held),
            senders=len({row.sender for row in group}),
            sender=group[0].sender,
            subject=held[0].subject if held else "",
            probability=group[0].probability,
            spam_labels=labels.count(Label.SPAM),
            ham_labels=labels.count(Label.HAM),
        )


def part_of(message: HeldMessage, reach: Reach, *, is_inside: bool = True) -> HeldMessage:
    """The message for its recipients within ``reach``, or for the others."""
    recipients = tuple(r for r in message.envelope.recipients if reach.covers(r.address) is is_inside)
    summary = replace(message.summary, recipients=tuple(r.address for r in recipients))
    return replace(message, summary=summary, envelope=message.envelope.only(recipients))


def _fits_held(summary: HeldSummary, query: HeldQuery) -> bool:
    return (
        summary.state in query.states
        and _fits(summary, query)
        and query.subject.lower() in summary.subject.lower()
        and (_is_in(query.text, (summary.sender, *summary.recipients)) or query.text.lower() in summary.subject.lower())
    )


def _fits_verdict(row: VerdictRow, query: VerdictQuery) -> bool:
    return (
        _fits(row, query)
        and (not query.actions or row.action in query.actions)
        and (not query.outcomes or row.outcome in query.outcomes)
        and _is_in(query.text, (row.sender, *row.recipients))
    )


def _fits(row: HeldSummary | VerdictRow, query: HeldQuery | VerdictQuery) -> bool:
    least, most = query.least_probability, query.most_probability
    return (
        (query.before is None or row.id < query.before)
        and (query.channel in {None, row.channel})
        and (query.since is None or row.received_at >= query.since)
        and (query.until is None or row.received_at < query.until)
        and (not query.reasons or row.reason in query.reasons)
        and (least is None or (row.probability is not None and row.probability >= least))
        and (most is None or (row.probability is not None and row.probability <= most))
        and _is_in(query.sender, (row.sender,))
        and _is_in(query.recipient, row.recipients)
    )


def _is_in(text: str, addresses: Sequence[str]) -> bool:
    return any(address_key(text) in address_key(address) for address in addresses)

"""What people look through, behind one name of the store."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, select

from filterd.core.access import Reach
from filterd.core.campaigns import campaigns
from filterd.core.envelope import Channel, MessageId
from filterd.core.threshold_preview import Judged
from filterd.core.verdict import Label
from filterd.ports import HeldSummary, VerdictRow
from filterd.review_ports import IN_QUARANTINE, Campaign, HeldPage, HeldQuery, HourCount, VerdictQuery
from filterd.store import held_list, history, past_scores, traffic
from filterd.store.quality import Transactions
from filterd.store.schema import FeedbackRecord, HeldRecord, VerdictRecord

_IN_ONE_QUERY = 1_000
"""Ids looked up at once: a statement can have 32,766 parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sighting:
    """One message, for its campaign."""

    id: MessageId
    channel: Channel
    fingerprint: str
    received_at: datetime
    sender: str
    probability: float | None


class SqlReview:
    """Implements ``review_ports.Review``."""

    def __init__(self, read: Transactions) -> None:
        self._read = read

    async def list_held(self, query: HeldQuery) -> Sequence[HeldSummary]:
        """See ``review_ports.Review``."""
        return await self._read(partial(held_list.listed, query=query))

    async def page_held(self, query: HeldQuery) -> HeldPage:
        """See ``review_ports.Review``."""
        return await self._read(partial(held_list.page, query=query))

    async def count_held(self, query: HeldQuery) -> int:
        """See ``review_ports.Review``."""
        return await self._read(partial(held_list.count, query=query))

    async def history(self, query: VerdictQuery) -> Sequence[VerdictRow]:
        """See ``review_ports.Review``."""
        return await self._read(partial(history.listed, query=query))

    async def verdicts(self, id: MessageId, reach: Reach) -> Sequence[VerdictRow]:
        """See ``review_ports.Review``."""
        return await self._read(partial(history.verdicts, id=id, reach=reach))

    async def judged(self, reach: Reach, since: datetime, *, most: int) -> Sequence[Judged]:
        """See ``review_ports.Review``."""
        query = VerdictQuery(reach=reach, since=since, least_probability=0.0, limit=most)
        return await self._read(partial(past_scores.judged, query=query))

    async def traffic(self, reach: Reach, since: datetime, until: datetime) -> Sequence[HourCount]:
        """See ``review_ports.Review``."""
        return await self._read(partial(traffic.counted, reach=reach, since=since, until=until))

    async def campaigns(
        self, reach: Reach, since: datetime, *, least: int = 2, most: int = 5_000
    ) -> Sequence[Campaign]:
        """See ``review_ports.Review``."""
        query = VerdictQuery(reach=reach, since=since, limit=most)
        seen = await self._read(partial(_sightings, query=query))
        grouped = await asyncio.to_thread(campaigns, seen)
        groups = sorted((group for group in grouped if len(group) >= least), key=len, reverse=True)
        return await self._read(partial(_described, groups=groups, reach=reach))


def _sightings(connection: Connection, query: VerdictQuery) -> list[_Sighting]:
    """Each message once, the newest first."""
    table = VerdictRecord
    columns = (table.id, table.part, table.channel, table.fingerprint, table.received_at, table.sender)
    keys = history.keys(connection, query)
    rows = _in_parts(connection, {id for id, _ in keys}, select(*columns, table.probability), table.id)
    found = {
        row.id: _Sighting(
            id=MessageId(row.id),
            channel=Channel(row.channel),
            fingerprint=row.fingerprint,
            received_at=row.received_at,
            sender=row.sender,
            probability=row.probability,
        )
        for row in rows
        if (row.id, row.part) in keys
    }
    return [found[id] for id in sorted(found, reverse=True)]


def _described(connection: Connection, groups: Sequence[Sequence[_Sighting]], reach: Reach) -> list[Campaign]:
    ids = {sighting.id for group in groups for sighting in group}
    held, labels = _held(connection, ids, reach), _labels(connection, ids)
    return [_campaign(group, held, labels) for group in groups]


def _campaign(
    group: Sequence[_Sighting],
    held: dict[str, list[Row[Any]]],
    labels: Counter[tuple[str, str]],
) -> Campaign:
    newest = group[0]
    rows = [row for sighting in group for row in held[sighting.id]]
    return Campaign(
        channel=newest.channel,
        count=len(group),
        first_at=min(sighting.received_at for sighting in group),
        last_at=max(sighting.received_at for sighting in group),
        messages=tuple(sighting.id for sighting in group),
        held=tuple(MessageId(row.id) for row in rows),
        senders=len({sighting.sender for sighting in group}),
        sender=newest.sender,
        subject=rows[0].subject if rows else "",
        probability=newest.probability,
        spam_labels=sum(labels[sighting.id, Label.SPAM.value] for sighting in group),
        ham_labels=sum(labels[sighting.id, Label.HAM.value] for sighting in group),
    )


def _held(connection: Connection, ids: set[MessageId], reach: Reach) -> dict[str, list[Row[Any]]]:
    """What is held of these messages for somebody within reach."""
    table = HeldRecord
    # The state is looked at here: with it in the query, a database may begin with all that is held.
    query = select(table.id, table.message_id, table.recipients, table.subject, table.state)
    found = defaultdict(list)
    for row in _in_parts(connection, ids, query, table.message_id):
        if row.state in IN_QUARANTINE and reach.part_of(row.recipients):
            found[row.message_id].append(row)
    return found


def _labels(connection: Connection, ids: set[MessageId]) -> Counter[tuple[str, str]]:
    """How many labels of which kind stand on these messages: (message, label) -> labels."""
    table = FeedbackRecord
    query = select(table.message_id, table.label).where(table.revoked_at.is_(None))
    return Counter((row.message_id, row.label) for row in _in_parts(connection, ids, query, table.message_id))


def _in_parts(connection: Connection, ids: set[Any], query: Any, column: Any) -> list[Row[Any]]:
    """The rows of ``query`` where ``column`` is one of ``ids``."""
    ordered = sorted(ids)
    parts = [ordered[at : at + _IN_ONE_QUERY] for at in range(0, len(ordered), _IN_ONE_QUERY)]
    return [row for part in parts for row in connection.execute(query.where(column.in_(part)))]

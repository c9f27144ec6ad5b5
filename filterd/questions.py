"""The questions of the day: which messages somebody should label."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from filterd.core.questions import Candidate, Why, choose
from filterd.ports import Clock, VerdictRow
from filterd.quality_ports import Questions

WINDOW = timedelta(days=7)
MOST = 500
"""Latest messages that are looked at, and as many of the audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A message that somebody should label, and why."""

    why: Why
    verdict: VerdictRow


async def ask(books: Questions, clock: Clock, limit: int) -> Sequence[Asked]:
    """At most ``limit`` of them. Raises StoreUnavailable."""
    found = await books.unlabelled(clock.now() - WINDOW, most=MOST)
    rows = {row.id: row for row in reversed(found.rows)}
    # Fingerprints are compared pair by pair: too long for the event loop where a campaign is under way.
    questions = await asyncio.to_thread(choose, [_candidate(row) for row in rows.values()], limit, found.known)
    return tuple(Asked(why=question.why, verdict=rows[question.message]) for question in questions)


def _candidate(row: VerdictRow) -> Candidate:
    return Candidate(
        message=row.id,
        probability=row.probability,
        threshold=row.threshold,
        correction=row.correction,
        fingerprint=row.fingerprint,
        is_audit=row.is_audit,
    )

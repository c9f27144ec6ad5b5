"""The questions of the day: which messages somebody should label."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from filterd.core.questions import Why, choose
from filterd.errors import NotFound
from filterd.feedback_ports import FeedbackLedger
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


async def ask(books: Questions, ledger: FeedbackLedger, clock: Clock, limit: int) -> Sequence[Asked]:
    """At most ``limit`` of them. Raises StoreUnavailable."""
    found = await books.unlabelled(clock.now() - WINDOW, most=MOST)
    # Fingerprints are compared pair by pair: too long for the event loop where a campaign is under way.
    questions = await asyncio.to_thread(choose, found.candidates, limit, found.known)
    asked = []
    for question in questions:
        # What was erased meanwhile is not asked about.
        with contextlib.suppress(NotFound):
            asked.append(Asked(why=question.why, verdict=(await ledger.verdicts(question.message))[0]))
    return tuple(asked)

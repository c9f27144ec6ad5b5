"""What the overview shows, for pages and API: each part stands by itself, so that one that is away hides no other."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from filterd.core.access import Person
from filterd.errors import TemporaryError
from filterd.feedback_ports import FeedbackLedger
from filterd.ports import Clock
from filterd.quality import QualityEstimates, QualityReport
from filterd.quality_ports import Questions
from filterd.questions import Asked, ask
from filterd.review_ports import HeldQuery, HourCount, Review
from filterd.traffic import TrafficBooks

_ASKED = 5
_LOOKED_AT = 25
"""Questions from which those within somebody's reach are taken."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureParts:
    """What figures are made of."""

    traffic: TrafficBooks
    estimates: QualityEstimates
    questions: Questions
    probes: Mapping[str, Callable[[], bool]]
    """What readiness asks of this worker, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one person sees; None is what cannot be told just now."""

    counts: Sequence[HourCount] | None
    held: int | None
    """Messages in the quarantine, up to ``review_ports.COUNT_LIMIT``."""
    quality: QualityReport | None = None
    asked: Sequence[Asked] = ()
    health: Mapping[str, bool] | None = None


async def figures_for(
    person: Person, parts: FigureParts, review: Review, ledger: FeedbackLedger, clock: Clock
) -> Figures:
    """Traffic and quarantine as far as ``person`` reaches; for the staff how well the filter does, too."""
    counts = await _if_there(parts.traffic.week(person.reach))
    held = await _if_there(review.count_held(HeldQuery(reach=person.reach)))
    if not person.is_staff:
        return Figures(counts=counts, held=held)
    return Figures(
        counts=counts,
        held=held,
        quality=await _if_there(parts.estimates.latest()),
        asked=await _if_there(_asked(person, parts, ledger, clock)) or (),
        health={name: is_up() for name, is_up in parts.probes.items()},
    )


async def _asked(person: Person, parts: FigureParts, ledger: FeedbackLedger, clock: Clock) -> Sequence[Asked]:
    """Messages to label, for whoever may."""
    if not person.may_act:
        return ()
    found = await ask(parts.questions, ledger, clock, _ASKED if person.reach.is_everybody else _LOOKED_AT)
    return [asked for asked in found if person.reach.part_of(asked.verdict.recipients)][:_ASKED]


async def _if_there(answer: Awaitable[T]) -> T | None:
    with contextlib.suppress(TemporaryError, TimeoutError):
        return await answer
    return None

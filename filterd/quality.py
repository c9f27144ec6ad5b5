"""Estimates how well the filter does from what the store counts: the same for the metrics and for the pages.

Verdicts are counted by the hour. An hour that is over is counted once and remembered, so that working it out again
costs what came in since the hour before; whoever starts catches up on a day's hours at a time. An hour counts with its
first 20,000 messages: estimates need shares, not totals.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from filterd.core.envelope import Channel
from filterd.core.hours import HOUR, hours
from filterd.core.quality import Estimate, Stratum, calibration_error, drift, ham_loss, spam_catch
from filterd.core.verdict import Action, Label
from filterd.errors import FilterdError
from filterd.ports import Clock
from filterd.quality_ports import LabelledVerdict, Tallies, Tally

EVERY_SECONDS = 60.0
WINDOW = timedelta(days=7)
"""Of the rates."""
LABELS_WINDOW = timedelta(days=30)
"""Of the calibration error: labels are few."""
RECENT = timedelta(days=1)
"""What is held against the model's first week."""
OLDEST = timedelta(days=90)
"""How far back the model's first message is looked for."""
HOURS_AT_ONCE = 24
MOST_PER_HOUR = 20_000
MOST_LABELS = 20_000
_OPEN_HOURS = 2
"""The latest hours are counted again: verdicts are written a little after their message."""
_CATCH_UP_SECONDS = 1.0
_TRAINED = re.compile(r"-(\d{8}T\d{6})-")

_Alike = tuple[str, str, str, str, int]
"""Channel, model, action, script and score of a tally, as text: thousands of them are added up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuality:
    """What is known of the bundle in service; NaN stands for what is not."""

    id: str
    age_seconds: float
    """Since it was trained."""
    calibration_error: float
    """Expected calibration error on audited messages, [0, 1]."""
    drift: Mapping[str, float]
    """``scores``, ``scripts``, ``share``: population stability index of the last day against its first week."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelQuality:
    """What is known of one channel."""

    ham_loss: Estimate
    spam_catch: Estimate
    audits: Mapping[str, int]
    """Audited messages: ``waiting`` for a label, ``ham``, ``spam``."""
    label_age_seconds: float
    """Since the latest label that stands; NaN without one."""
    model: ModelQuality | None
    """None where none is in service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """How well the filter does."""

    at: datetime
    channels: Mapping[Channel, ChannelQuality]
    hours_missing: int
    """Hours that are still to be counted: totals are too low until then."""


class QualityEstimates:
    """Works the estimates out, and keeps what it has counted."""

    def __init__(self, books: Tallies, *, models: Callable[[], Mapping[Channel, str]], clock: Clock) -> None:
        """``models`` are the bundles in service."""
        self._books = books
        self._models = models
        self._clock = clock
        self._hours: dict[datetime, Mapping[_Alike, int]] = {}
        self._first: dict[tuple[Channel, str], datetime] = {}
        self._report: QualityReport | None = None
        self._working = asyncio.Lock()
        self._is_wanted = asyncio.Event()

    async def latest(self) -> QualityReport:
        """The report of this minute. Raises StoreUnavailable."""
        async with self._working:
            report = self._report
            if report is None or (self._clock.now() - report.at).total_seconds() >= EVERY_SECONDS:
                report = await self._work_out()
        if report.hours_missing:
            self._is_wanted.set()
        return report

    async def catch_up(self) -> None:
        """Count what is missing once somebody has asked, until cancelled: for workers that keep no series."""
        while True:
            await self._is_wanted.wait()
            self._is_wanted.clear()
            with contextlib.suppress(FilterdError, TimeoutError):
                await self._count_all()

    async def _count_all(self) -> None:
        report = await self.work_out()
        while report.hours_missing:
            # Others want the database, too.
            await asyncio.sleep(_CATCH_UP_SECONDS)
            report = await self.work_out()

    async def work_out(self) -> QualityReport:
        """A new report. Raises StoreUnavailable."""
        async with self._working:
            return await self._work_out()

    async def _work_out(self) -> QualityReport:
        now, models = self._clock.now(), self._models()
        for channel, model in models.items():
            await self._find_first(channel, model, now)
        window = hours(now - WINDOW, now)
        references = [hour for c, m in models.items() for hour in self._reference(c, m, now)]
        missing = await self._count({*window, *references}, now)
        labelled = await self._books.labelled_since(now - LABELS_WINDOW, most=MOST_LABELS)
        waiting = await self._books.audits_waiting(now - WINDOW)
        newest = await self._books.newest_labels()
        week = self._taken(window)
        channels = {}
        for channel in Channel:
            recent = [v for v in labelled if v.channel is channel and v.received_at >= now - WINDOW]
            acted, accepted = _strata(channel, week, recent)
            audited = Counter(verdict.label.value for verdict in recent if verdict.is_audit)
            channels[channel] = ChannelQuality(
                ham_loss=ham_loss(acted, accepted),
                spam_catch=spam_catch(acted, accepted),
                audits={"waiting": waiting.get(channel, 0), "ham": audited["ham"], "spam": audited["spam"]},
                label_age_seconds=(now - newest[channel]).total_seconds() if channel in newest else math.nan,
                model=self._of_model(channel, models[channel], now, labelled) if channel in models else None,
            )
        self._report = QualityReport(at=now, channels=channels, hours_missing=missing)
        return self._report

    async def _count(self, needed: set[datetime], now: datetime) -> int:
        """Count hours that are missing, the latest first, and forget those that nobody needs; how many still are."""
        for hour in list(self._hours):
            if hour not in needed:
                del self._hours[hour]
        is_open = now - _OPEN_HOURS * HOUR
        missing = [hour for hour in sorted(needed, reverse=True) if hour not in self._hours or hour >= is_open]
        for hour in missing[: HOURS_AT_ONCE + _OPEN_HOURS]:
            found = await self._books.tally(hour, hour + HOUR, most=MOST_PER_HOUR)
            self._hours[hour] = {_alike(tally): tally.count for tally in found}
        return len(needed) - len(self._hours)

    async def _find_first(self, channel: Channel, model: str, now: datetime) -> None:
        """When the model judged its first message, found by halving."""
        if (channel, model) in self._first:
            return
        low, high = now - OLDEST, now
        while high - low > HOUR:
            middle = low + (high - low) / 2
            found = await self._books.model_at(channel, middle)
            low, high = (low, middle) if found is not None and found[0] == model else (middle, high)
        found = await self._books.model_at(channel, low)
        if found is not None and found[0] == model:
            self._first[channel, model] = found[1]

    def _reference(self, channel: Channel, model: str, now: datetime) -> Sequence[datetime]:
        """The hours of the model's first week, without the last day."""
        first = self._first.get((channel, model))
        return () if first is None else hours(first, min(first + WINDOW, now - RECENT - HOUR))

    def _taken(self, which: Iterable[datetime]) -> Sequence[Tally]:
        """What was counted in these hours, together."""
        counts: Counter[_Alike] = Counter()
        for hour in which:
            counts.update(self._hours.get(hour, {}))
        return [
            Tally(channel=Channel(channel), model=model, action=Action(action), script=script, score=score, count=count)
            for (channel, model, action, script, score), count in counts.items()
        ]

    def _of_model(
        self, channel: Channel, model: str, now: datetime, labelled: Sequence[LabelledVerdict]
    ) -> ModelQuality:
        audited = [
            (verdict.probability, verdict.label is Label.SPAM)
            for verdict in labelled
            if verdict.is_audit and verdict.channel is channel and verdict.model == model
            if verdict.probability is not None
        ]
        before, after = self._taken(self._reference(channel, model, now)), self._taken(hours(now - RECENT, now))
        return ModelQuality(
            id=model,
            age_seconds=_age(model, now),
            calibration_error=calibration_error(audited),
            drift={
                of: drift(*(_shares(tallies, named, channel, model) for tallies in (before, after)))
                for of, named in _NAMES.items()
            },
        )


def _shares(tallies: Sequence[Tally], named: _Named, channel: Channel, model: str) -> Mapping[str, float]:
    counts = Counter[str]()
    for tally in tallies:
        if (name := named(tally, channel, model)) is not None:
            counts[name] += tally.count
    return counts


def _strata(channel: Channel, tallies: Sequence[Tally], labelled: Sequence[LabelledVerdict]) -> tuple[Stratum, Stratum]:
    """Messages that were acted on, and accepted ones."""
    counts: Counter[bool] = Counter()
    for tally in tallies:
        if tally.channel is channel and tally.action is not Action.DEFER:
            counts[tally.action is Action.ACCEPT] += tally.count
    return _stratum(counts, labelled, is_accepted=False), _stratum(counts, labelled, is_accepted=True)


def _alike(tally: Tally) -> _Alike:
    return tally.channel.value, tally.model, tally.action.value, tally.script, tally.score


def _score_of(tally: Tally, channel: Channel, model: str) -> str | None:
    return str(tally.score) if (tally.channel, tally.model) == (channel, model) else None


def _script_of(tally: Tally, channel: Channel, model: str) -> str | None:
    return tally.script if (tally.channel, tally.model) == (channel, model) and tally.script else None


def _share_of(tally: Tally, channel: Channel, model: str) -> str | None:  # noqa: ARG001  # one shape for all
    return str(tally.channel is channel)


_Named = Callable[[Tally, Channel, str], str | None]
_NAMES: Mapping[str, _Named] = {
    "scores": _score_of,
    "scripts": _script_of,
    "share": _share_of,
}
"""What may drift -> which bin a tally belongs to; None for those that are left out."""


def _stratum(counts: Mapping[bool, int], labelled: Sequence[LabelledVerdict], *, is_accepted: bool) -> Stratum:
    """Accepted messages, where spam is wrong; or the others, where ham is."""
    wrong = Label.SPAM if is_accepted else Label.HAM
    own = [verdict for verdict in labelled if (verdict.action is Action.ACCEPT) is is_accepted]
    audited = [verdict for verdict in own if verdict.is_audit]
    return Stratum(
        total=max(counts.get(is_accepted, 0), len(own)),
        labelled=len(audited),
        wrong=sum(verdict.label is wrong for verdict in audited),
        reported=sum(verdict.label is wrong for verdict in own),
    )


def _age(model: str, now: datetime) -> float:
    """Seconds since the time in a bundle's id; NaN where it has none."""
    found = _TRAINED.search(model)
    if found is None:
        return math.nan
    try:
        trained = datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return math.nan
    return (now - trained).total_seconds()

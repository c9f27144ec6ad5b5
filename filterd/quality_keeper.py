"""Works out how well the filter does, once a minute in one worker, from what the store counts.

Verdicts are counted by the hour. An hour that is over is counted once and remembered, so that a minute costs what came
in since the hour before; a worker that starts catches up on a day's hours a minute. An hour counts with its first
20,000 messages: estimates need shares, not totals.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from filterd.core.envelope import Channel
from filterd.core.quality import Stratum, calibration_error, drift, ham_loss, spam_catch
from filterd.core.verdict import Action, Label
from filterd.errors import FilterdError
from filterd.metrics import Metrics
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
HOUR = timedelta(hours=1)
HOURS_AT_ONCE = 24
MOST_PER_HOUR = 20_000
MOST_LABELS = 20_000
_OPEN_HOURS = 2
"""The latest hours are counted again: verdicts are written a little after their message."""
_TRAINED = re.compile(r"-(\d{8}T\d{6})-")


_Alike = tuple[str, str, str, str, int]
"""Channel, model, action, script and score of a tally, as text: thousands of them are added up."""


class QualityKeeper:
    """Shows the series of ``Metrics`` that are worked out."""

    def __init__(
        self, books: Tallies, *, models: Callable[[], Mapping[Channel, str]], clock: Clock, metrics: Metrics
    ) -> None:
        """``models`` are the bundles in service."""
        self._books = books
        self._models = models
        self._clock = clock
        self._metrics = metrics
        self._hours: dict[datetime, Mapping[_Alike, int]] = {}
        self._first: dict[tuple[Channel, str], datetime] = {}

    async def watch(self) -> None:
        """Refresh every minute, until cancelled; while the database is away nothing changes."""
        while True:
            # That the database is away is told by the store's keeper.
            with contextlib.suppress(FilterdError, TimeoutError):
                await self.refresh()
            await asyncio.sleep(EVERY_SECONDS)

    async def refresh(self) -> None:
        """Work everything out again. Raises StoreUnavailable."""
        now, models = self._clock.now(), self._models()
        for channel, model in models.items():
            await self._find_first(channel, model, now)
        hours = _hours(now - WINDOW, now)
        await self._count(hours, [hour for c, m in models.items() for hour in self._reference(c, m, now)], now)
        labelled = await self._books.labelled_since(now - LABELS_WINDOW, most=MOST_LABELS)
        waiting = await self._books.audits_waiting(now - WINDOW)
        newest = await self._books.newest_labels()
        week = self._taken(hours)
        for channel in Channel:
            recent = [v for v in labelled if v.channel is channel and v.received_at >= now - WINDOW]
            self._show_rates(channel, week, recent, waiting.get(channel, 0))
            age = (now - newest[channel]).total_seconds() if channel in newest else math.nan
            self._metrics.label_age.labels(channel.value).set(age)
        for channel, model in models.items():
            self._show_model(channel, model, now, labelled)
        self._metrics.quality_computed.set(now.timestamp())

    async def _count(self, week: Sequence[datetime], references: Sequence[datetime], now: datetime) -> None:
        """Count the hours that are missing, the latest first, and forget those that nobody needs."""
        needed = set(week) | set(references)
        for hour in list(self._hours):
            if hour not in needed:
                del self._hours[hour]
        is_open = now - _OPEN_HOURS * HOUR
        missing = [hour for hour in sorted(needed, reverse=True) if hour not in self._hours or hour >= is_open]
        for hour in missing[: HOURS_AT_ONCE + _OPEN_HOURS]:
            found = await self._books.tally(hour, hour + HOUR, most=MOST_PER_HOUR)
            self._hours[hour] = {_alike(tally): tally.count for tally in found}

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
        return () if first is None else _hours(first, min(first + WINDOW, now - RECENT - HOUR))

    def _taken(self, hours: Iterable[datetime]) -> Sequence[Tally]:
        """What was counted in these hours, together."""
        counts: Counter[_Alike] = Counter()
        for hour in hours:
            counts.update(self._hours.get(hour, {}))
        return [
            Tally(channel=Channel(channel), model=model, action=Action(action), script=script, score=score, count=count)
            for (channel, model, action, script, score), count in counts.items()
        ]

    def _show_rates(
        self, channel: Channel, tallies: Sequence[Tally], labelled: Sequence[LabelledVerdict], waiting: int
    ) -> None:
        counts: Counter[bool] = Counter()
        for tally in tallies:
            if tally.channel is channel and tally.action is not Action.DEFER:
                counts[tally.action is Action.ACCEPT] += tally.count
        acted, accepted = (_stratum(counts, labelled, is_accepted=accept) for accept in (False, True))
        self._metrics.show_rates(channel, ham_loss(acted, accepted), spam_catch(acted, accepted))
        audited = Counter(verdict.label.value for verdict in labelled if verdict.is_audit)
        for state, count in {"waiting": waiting, "ham": audited["ham"], "spam": audited["spam"]}.items():
            self._metrics.audit_messages.labels(channel.value, state).set(count)

    def _show_model(self, channel: Channel, model: str, now: datetime, labelled: Sequence[LabelledVerdict]) -> None:
        audited = [
            (verdict.probability, verdict.label is Label.SPAM)
            for verdict in labelled
            if verdict.is_audit and verdict.channel is channel and verdict.model == model
            if verdict.probability is not None
        ]
        self._metrics.calibration_error.labels(channel.value).set(calibration_error(audited))
        self._metrics.model_age.labels(channel.value).set(_age(model, now))
        before, after = self._taken(self._reference(channel, model, now)), self._taken(_hours(now - RECENT, now))
        for of, named in _NAMES.items():
            old, new = (Counter[str](), Counter[str]())
            for tallies, into in ((before, old), (after, new)):
                for tally in tallies:
                    if (name := named(tally, channel, model)) is not None:
                        into[name] += tally.count
            self._metrics.drift.labels(channel.value, of).set(drift(old, new))


def _alike(tally: Tally) -> _Alike:
    return tally.channel.value, tally.model, tally.action.value, tally.script, tally.score


def _score_of(tally: Tally, channel: Channel, model: str) -> str | None:
    return str(tally.score) if (tally.channel, tally.model) == (channel, model) else None


def _script_of(tally: Tally, channel: Channel, model: str) -> str | None:
    return tally.script if (tally.channel, tally.model) == (channel, model) and tally.script else None


def _share_of(tally: Tally, channel: Channel, model: str) -> str | None:  # noqa: ARG001  # one shape for all
    return str(tally.channel is channel)


_NAMES: Mapping[str, Callable[[Tally, Channel, str], str | None]] = {
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


def _hours(since: datetime, until: datetime) -> list[datetime]:
    """The beginnings of the hours from ``since`` to ``until``, ascending."""
    hour = since.replace(minute=0, second=0, microsecond=0)
    return [hour + n * HOUR for n in range(math.ceil((until - hour) / HOUR))] if until > since else []


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

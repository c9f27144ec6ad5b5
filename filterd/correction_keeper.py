"""Keeps one worker's online weights as the labels that stand would have them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, Self

from filterd.core.envelope import Channel
from filterd.feedback_ports import Backgrounds, LabelledInput, LabelledInputs, ReportChange
from filterd.metrics import Metrics

MOST = 10_000
"""Labels a correction is made of, the first ones given under the model in service."""
BACKGROUND = 300
"""Latest unlabelled messages, some of which each label is held against."""


class KeptWeights(Protocol):
    """Online weights that can be taught."""

    def learned(self, channel: Channel, model: str) -> Sequence[int]:
        """Numbers of the labels the correction of this model was made of."""
        ...

    def learn(
        self,
        channel: Channel,
        model: str,
        examples: Iterable[LabelledInput],
        weights: Mapping[int, float],
        background: Sequence[bytes],
    ) -> None:
        """Learn labels in their order, held against unlabelled messages."""
        ...

    def adopt(self, other: Self, channel: Channel) -> None:
        """Correct this channel as ``other`` does."""
        ...


class Learnable(LabelledInputs, Backgrounds, Protocol):
    """A ledger with what is learned from."""


class CorrectionKeeper:
    """Implements ``report_keeper.Follower``."""

    def __init__(
        self,
        weights: KeptWeights,
        ledger: Learnable,
        *,
        fresh: Callable[[], KeptWeights],
        models: Callable[[], Mapping[Channel, str]],
        metrics: Metrics,
    ) -> None:
        """``fresh`` makes weights that know nothing; ``models`` are the bundles in service."""
        self._weights = weights
        self._ledger = ledger
        self._fresh = fresh
        self._models = models
        self._metrics = metrics

    async def follow(self, changes: Sequence[ReportChange] | None, worth: Mapping[int, float]) -> None:
        """Learn what is new; begin again where a label was taken back or everything was read again (None)."""
        for channel, model in self._models().items():
            learned = self._weights.learned(channel, model)
            gone = {change.report.id for change in changes or () if not change.is_standing}
            if changes is None or not gone.isdisjoint(learned):
                await self._begin_again(channel, model, worth)
            else:
                await self._go_on(channel, model, worth, after=learned[-1] if learned else 0)
            self._metrics.reports_learned.labels(channel.value).set(len(self._weights.learned(channel, model)))

    async def _go_on(self, channel: Channel, model: str, worth: Mapping[int, float], *, after: int) -> None:
        examples = await self._ledger.labelled_inputs(channel, model=model, after=after, most=MOST)
        if len(examples) > _AT_ONCE:
            await self._begin_again(channel, model, worth)
        elif examples:
            self._weights.learn(channel, model, examples, worth, await self._background(channel))

    async def _begin_again(self, channel: Channel, model: str, worth: Mapping[int, float]) -> None:
        """Learn everything on a thread, and take it over when it is done."""
        fresh = self._fresh()
        examples = await self._ledger.labelled_inputs(channel, model=model, most=MOST)
        if examples:
            background = await self._background(channel)
            await asyncio.to_thread(fresh.learn, channel, model, examples, worth, background)
        self._weights.adopt(fresh, channel)

    async def _background(self, channel: Channel) -> Sequence[bytes]:
        return await self._ledger.background(channel, most=BACKGROUND)


_AT_ONCE = 20
"""Labels learned on the event loop, a millisecond each; more are learned aside, from the beginning."""

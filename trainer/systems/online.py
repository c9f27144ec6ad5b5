"""The linear learner of the daemon behind the same interface: alone from empty, and as the correction of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import Hashing
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.online import OnlineConfig, OnlineWeights, Views, grams, views_of
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from filterd.errors import Unscannable
from filterd.inference.loaded import LoadedModel
from trainer.example import Example, Label

_RAW_BYTES = 3_000
_NOTHING: Views = (np.zeros(0, np.int32),) * 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a learner is told of one message."""

    views: Views
    raw_views: Views
    """The same with the octets as they came in place of what a reader sees and of the headers."""
    logit: float
    """The bundle's; 0 without one."""


class Reader:
    """Examples as the learner sees them, each read once: runs over the same stream share a reader."""

    def __init__(self, channel: Channel, bundle: Path | None = None) -> None:
        """Raises BundleError."""
        self.model = None if bundle is None else LoadedModel.open(bundle, ParseLimits())
        hashing: Hashing = DEFAULT_HASHING[channel] if self.model is None else self.model.spec.hashing
        self._extractor = Extractor(channel, hashing, ParseLimits())
        self._seen: dict[tuple[str, str], Seen] = {}

    def __call__(self, example: Example) -> Seen:
        """An example is known by its corpus and id; its label is not read."""
        key = (example.corpus, example.id)
        if key not in self._seen:
            self._seen[key] = self._read(example)
        return self._seen[key]

    def _read(self, example: Example) -> Seen:
        octets = grams(example.raw[:_RAW_BYTES])
        try:
            extracted = self._extractor(example.raw)
            logit = 0.0 if self.model is None else self.model.score(extracted.tokens)
        except Unscannable:
            return Seen(views=_NOTHING, raw_views=(octets, *_NOTHING[1:]), logit=0.0)
        views = views_of(example.raw, extracted)
        return Seen(views=views, raw_views=(octets, views[1], _NOTHING[2]), logit=logit)


class Online:
    """The learner alone, from empty; scores are logits. It has no state outside the process."""

    name = "online"
    cut = 1e-6
    """Just above 0: before the first report everything is let in, so that there is something to report."""

    def __init__(self, reader: Reader, config: OnlineConfig | None = None) -> None:
        self._reader = reader
        self._learner = OnlineWeights(config)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def learn(self, examples: Sequence[Example]) -> None:
        """One step each, in this order."""
        for example in examples:
            views, offset = self._told(example)
            self._learner.learn(views, is_spam=example.label is Label.SPAM, offset=offset)

    def score(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """float64[len(examples)]: logits."""
        return np.array([self._learner.score(*self._told(example)) for example in examples], np.float64)

    def _told(self, example: Example) -> tuple[Views, float]:
        return self._reader(example).views, 0.0


class OnlineRaw(Online):
    """The learner alone on raw octets, every header included, as the filters that it is compared with read them."""

    name = "online, raw octets"

    def _told(self, example: Example) -> tuple[Views, float]:
        return self._reader(example).raw_views, 0.0


class Corrected(Online):
    """A bundle whose weights stay, with the learner on top; scores are logits. The reader holds the bundle."""

    name = "bundle, corrected online"

    def _told(self, example: Example) -> tuple[Views, float]:
        seen = self._reader(example)
        return seen.views, seen.logit

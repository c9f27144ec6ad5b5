"""A bundle beside the corpora it was trained on, divided as they were then: what its tracks begin with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from filterd.inference.loaded import LoadedModel
from trainer import evaluate
from trainer.config import TrainConfig, defaults, quick
from trainer.corpora import Prepared, prepare
from trainer.example import Example
from trainer.features import Encoded
from trainer.prepare import Split
from trainer.tracks.context import Context

_CAVEAT = (
    "The corpora are not divided as they were when this bundle was trained: it may have seen part of what is measured "
    "here, and the figures may be too good to believe."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPart:
    """A bundle and its corpora."""

    model: LoadedModel
    prepared: Prepared
    is_same_split: bool
    """Whether examples and splits are those the bundle was trained with; else its test part may hold what it saw."""

    def examples(self, split: Split) -> list[Example]:
        """The examples of a split, in the order of ``Prepared.part``."""
        return [self.prepared.corpus.examples[i] for i in self.prepared.corpus.where(split)]

    def measured(self, split: Split) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.str_]]:
        """Logits by the daemon's own code, labels and corpora of a split."""
        encoded, labels, names = self.part(split)
        return evaluate.logits(self.model, encoded), labels, names

    def part(self, split: Split) -> tuple[Encoded, NDArray[np.float32], NDArray[np.str_]]:
        """Encoded messages, labels and corpora of a split."""
        return self.prepared.part(split)

    def caveat(self) -> tuple[str, ...]:
        """A paragraph for the reader where the split is another one."""
        return () if self.is_same_split else (_CAVEAT,)


@lru_cache(maxsize=1)
def held_part(context: Context) -> HeldPart:
    """Read and divide the corpora of the context's channel, once for all tracks. Raises CorpusError and BundleError."""
    model = context.model()
    config = config_of(context)
    prepared = prepare(config, context.data, context.jobs, context.say, model.spec.hashing)
    manifest = str(json.loads(prepared.corpus.manifest())["sha256"])
    return HeldPart(model=model, prepared=prepared, is_same_split=manifest == model.spec.corpus)


def config_of(context: Context) -> TrainConfig:
    """The channel's training defaults, small where the context asks for a quick run."""
    config = defaults(context.channel)
    return quick(config) if context.is_fast else config

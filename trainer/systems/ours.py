"""Our own filter behind the same interface: a bundle as it is served, or a network trained on what is learned.

Both score raw bytes through ``filterd.inference.loaded.Scorer``, the daemon's own code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from filterd.core.message import ParseLimits
from filterd.errors import Unscannable
from filterd.inference.loaded import LoadedModel, Scorer
from trainer.config import TrainConfig
from trainer.errors import TrainerError
from trainer.example import Example

POINT = "normal"
"""The operating point whose threshold is our own cut."""
_HELD = 1.0
"""Of what cannot be scanned: the daemon's default policy holds it."""


class Frozen:
    """A bundle as it is served; scores are calibrated probabilities, [0, 1]. Raises BundleError."""

    def __init__(self, bundle: Path) -> None:
        self._model = LoadedModel.open(bundle, ParseLimits())
        self.name = f"ours ({self._model.spec.id})"
        self.cut = self._model.spec.points[POINT]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def learn(self, examples: Sequence[Example]) -> None:
        """Raises TrainerError unless there is nothing to learn."""
        if examples:
            raise TrainerError(
                f"{self.name} is a bundle and does not learn; train from scratch with systems.ours.Trained"
            )

    def score(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """float64[len(examples)]; what cannot be scanned scores 1, because the daemon holds it."""
        return _scores(self._model, examples)


class Trained:
    """A network of ours, trained from its random start on everything learned so far.

    ``validation`` stops the training and sets calibration and operating points; it must share no near-duplicate with
    what is learned or scored.
    """

    def __init__(
        self,
        config: TrainConfig,
        validation: Sequence[Example],
        *,
        jobs: int = 1,
        progress: Callable[[int, int, str], None] = lambda *_: None,
    ) -> None:
        self.name = f"ours, trained here (seed {config.seed})"
        self.cut = 0.5
        self._config = config
        self._validation = validation
        self._jobs = jobs
        self._progress = progress
        self._learned: list[Example] = []
        self._model: LoadedModel | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def learn(self, examples: Sequence[Example]) -> None:
        """Train again, on these and all before; sets ``cut`` to the new operating point. Raises TrainerError."""
        from trainer.fit import fit  # noqa: PLC0415  (TensorFlow takes seconds to import)

        self._learned += examples
        fitted = fit(self._config, self._learned, self._validation, jobs=self._jobs, progress=self._progress)
        self._model = fitted.model
        self.cut = fitted.model.spec.points[POINT]

    def score(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """float64[len(examples)] in [0, 1]; 1/2 before anything was learned, 1 for what cannot be scanned."""
        return np.full(len(examples), 0.5) if self._model is None else _scores(self._model, examples)


def _scores(model: LoadedModel, examples: Sequence[Example]) -> NDArray[np.float64]:
    scorer = Scorer({model.spec.channel: model}, ParseLimits())
    return np.array([_score(scorer, example) for example in examples], np.float64)


def _score(scorer: Scorer, example: Example) -> float:
    try:
        return scorer.scan(example.channel, example.raw).probability
    except Unscannable:
        return _HELD

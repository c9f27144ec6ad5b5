"""What a training run keeps between epochs, so that one that was interrupted goes on where it stopped."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.config import TrainConfig
from trainer.errors import TrainerError


@dataclass(slots=True, kw_only=True)
class History:
    """What the learning curves show, one entry per epoch."""

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    spam_missed: list[float] = field(default_factory=list)
    """Mean over the guarded ham losses, [0, 1]."""


@dataclass(slots=True, kw_only=True)
class Run:
    """A run between two epochs."""

    config: TrainConfig
    history: History
    best: float
    """Lowest guarded figure so far."""
    best_weights: list[NDArray[Any]]
    best_epoch: int
    """Counted from 0."""
    epoch: int
    """The epoch to come, counted from 0."""


def keep(run: Run, variables: Sequence[Any], path: Path) -> None:
    """Write the run and the values of these variables to ``path``, whole or not at all."""
    draft = path.with_name(f".{path.name}.new")
    head = {
        "config": _identity(run.config),
        "history": asdict(run.history),
        "best": run.best,
        "best_epoch": run.best_epoch,
        "epoch": run.epoch,
    }
    arrays = {f"variable-{i}": variable.numpy() for i, variable in enumerate(variables)}
    arrays |= {f"best-{i}": weights for i, weights in enumerate(run.best_weights)}
    with draft.open("wb") as handle:
        np.savez(handle, head=np.array(json.dumps(head)), **arrays)
    draft.replace(path)


def resumed(fresh: Run, variables: Sequence[Any], path: Path) -> Run:
    """The run kept in ``path`` with its values assigned to ``variables``; ``fresh`` where nothing is kept.

    Raises TrainerError when what is kept there is damaged or of another configuration.
    """
    if not path.exists():
        return fresh
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            head = json.loads(str(kept["head"]))
            if head["config"] != _identity(fresh.config):
                raise TrainerError(f"{path} is of a run with another configuration; delete it or name another --resume")
            for i, variable in enumerate(variables):
                variable.assign(kept[f"variable-{i}"])
            best = [kept[f"best-{i}"] for i in range(len(fresh.best_weights))]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as exc:
        raise TrainerError(f"{path} cannot be read ({exc}); delete it to train from the beginning") from exc
    return Run(
        config=fresh.config,
        history=History(**head["history"]),
        best=head["best"],
        best_weights=best,
        best_epoch=head["best_epoch"],
        epoch=head["epoch"],
    )


def _identity(config: TrainConfig) -> str:
    return repr(config)

"""Which line a published recipe takes."""

from __future__ import annotations

from pathlib import Path

from trainer.published import run, unrolled
from trainer.published.run import Outcome, Say
from trainer.recipe import Kind, Recipe
from trainer.train import Progress


def train(
    recipe: Recipe, data: Path, out: Path, *, is_fast: bool, seed: int | None, progress: Progress, say: Say
) -> Outcome:
    """Run a recipe that is no bundle's, and write its folder in ``out``. Raises TrainerError."""
    if recipe.kind is Kind.UNROLLED:
        return unrolled.run(recipe, out, seed=seed, say=say)
    return run.run(recipe, data, out, is_fast=is_fast, seed=seed, progress=progress, say=say)

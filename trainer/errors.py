"""Every error the trainer raises on purpose.

::

    TrainerError
    ├── RecipeError          a recipe is unknown, or has an unknown key or a wrong value; names the file and the key
    ├── CorpusError          a corpus is missing, truncated, mislabelled or has a single class; names the file
    ├── TrainingDiverged     the loss is not a number any more
    ├── ExportParityError    the exported graph is not the trained model
    ├── CalibrationError     no operating point can be chosen from these examples
    └── ToolMissing          a program to compare with is not installed
"""

from __future__ import annotations


class TrainerError(Exception):
    """An error of the trainer."""


class RecipeError(TrainerError):
    """A recipe cannot be used."""


class CorpusError(TrainerError):
    """A corpus cannot be used."""


class TrainingDiverged(TrainerError):
    """The loss is not a number any more."""


class ExportParityError(TrainerError):
    """The exported graph is not the trained model."""


class CalibrationError(TrainerError):
    """No operating point can be chosen from these examples."""


class ToolMissing(TrainerError):
    """A program to compare with is not installed."""

"""Every error the trainer raises on purpose.

::

    TrainerError
    ├── RecipeError          a recipe is unknown, or has an unknown key or a wrong value; names the file and the key
    ├── CorpusError          a corpus is missing, truncated, mislabelled or has a single class; names the file
    ├── TrainingDiverged     the loss is not a number any more
    ├── ExportParityError    the exported graph is not the trained model
    ├── GateError            two bundles cannot be compared: they were not measured on the same messages
    ├── CalibrationError     no operating point can be chosen from these examples
    ├── AlreadyRunning       another process does the same on this store; try again later, exit 75
    ├── ToolMissing          a program or library that a command needs is not installed
    ├── ManifestError        a folder is neither a bundle nor a recipe's, or does not say what it holds; names the file
    └── StoreError           a store of bundles cannot be used; names the URL and what to check
        ├── NotStored        the store has no such bundle; says what it has
        ├── StoreConflict    that id is there with other content; what is published never changes
        └── ObjectChanged    an object is not what was pushed; nothing of it is kept
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


class GateError(TrainerError):
    """Two bundles cannot be compared."""


class AlreadyRunning(TrainerError):
    """Another process does the same on this store."""


class ToolMissing(TrainerError):
    """A program or library that a command needs is not installed."""


class ManifestError(TrainerError):
    """A folder does not say what it holds."""


class StoreError(TrainerError):
    """A store of bundles cannot be used."""


class NotStored(StoreError):
    """The store has no such bundle."""


class StoreConflict(StoreError):
    """That id is there with other content."""


class ObjectChanged(StoreError):
    """An object of the store is not what was pushed."""

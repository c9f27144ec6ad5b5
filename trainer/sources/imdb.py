"""Film reviews, 25,000 to train on and 25,000 to test with, half of each positive: not spam, but a published task.

Source: Maas et al. 2011, Learning Word Vectors for Sentiment Analysis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import CorpusError
from trainer.sources.archive import members

_LABELS = {"pos": True, "neg": False}
_PARTS = {"train": False, "test": True}
_DEPTH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One review."""

    id: str
    text: str
    is_positive: bool
    is_test: bool


def read(path: Path) -> Iterator[Review]:
    """The reviews in the order of the archive. Raises CorpusError."""
    found = 0
    for name, content in members(path):
        part, *rest = name.split("/")
        if part not in _PARTS:
            continue
        if len(rest) != _DEPTH - 1 or rest[0] not in _LABELS:
            raise CorpusError(f"{path}: {name} lies in no folder train or test, pos or neg")
        found += 1
        yield Review(
            id=name,
            text=content.decode("utf-8", "replace"),
            is_positive=_LABELS[rest[0]],
            is_test=_PARTS[part],
        )
    if not found:
        raise CorpusError(f"{path}: holds no review in train or test; fetch it again")

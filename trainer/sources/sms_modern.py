"""SMS of today in many languages, written for this project, split by their text's cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.example import Example
from trainer.sources.modern import Part, examples


def read(path: Path, part: Part = Part.TRAIN) -> Iterator[Example]:
    """The corpus's messages of one part. Raises CorpusError."""
    return examples(path, part, Channel.SMS, lambda message: message.text.encode())

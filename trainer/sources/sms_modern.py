"""SMS of today in many languages, written for this project, split by their text's cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.example import Example
from trainer.sources.modern import Part, written


def read(path: Path, part: Part = Part.TRAIN) -> Iterator[Example]:
    """The corpus's messages of one part. Raises CorpusError."""
    for message in written(path):
        if message.part is part:
            yield Example(
                id=message.id,
                corpus="modern",
                channel=Channel.SMS,
                label=message.label,
                raw=message.text.encode(),
                group=message.kind,
            )

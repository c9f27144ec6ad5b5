"""CSDMC 2010 training set: raw messages, labels in a file of its own where 1 is ham and 0 is spam."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.errors import CorpusError
from trainer.example import Example, Label
from trainer.sources.archive import label_of, members, message_date

_LABELS = {"1": Label.HAM, "0": Label.SPAM}


def read(path: Path) -> Iterator[Example]:
    """The corpus's messages; every message must be in the label file. Raises CorpusError."""
    labels: dict[str, Label] = {}
    for name, content in members(path):
        if name == "SPAMTrain.label":
            labels = _labels(content, path)
        if not name.endswith(".eml"):
            continue
        file = name.rpartition("/")[2]
        if file not in labels:
            raise CorpusError(f"{path}: {name} has no line in SPAMTrain.label; fetch it again")
        yield Example(
            id=name,
            corpus="csdmc2010",
            channel=Channel.EMAIL,
            label=labels[file],
            raw=content,
            date=message_date(content, (2001, 2010)),
        )


def _labels(content: bytes, path: Path) -> dict[str, Label]:
    rows = [line.split() for line in content.decode("ascii", "replace").splitlines() if line.strip()]
    if any(len(row) != 2 for row in rows):
        raise CorpusError(f"{path}: SPAMTrain.label wants two words a line; fetch it again")
    return {file: label_of(value, _LABELS, f"{path}: SPAMTrain.label") for value, file in rows}

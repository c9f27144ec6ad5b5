"""Mishra and Soni's smishing set, up to 2020: latin-1, labels in mixed case; smishing is spam."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.example import Example, Label
from trainer.sources.archive import label_of, table

_FILE = "Mendeley_Dataset_5971.csv"
_LABELS = {"ham": Label.HAM, "spam": Label.SPAM, "smishing": Label.SPAM}


def read(path: Path) -> Iterator[Example]:
    """The corpus's messages. Raises CorpusError."""
    for number, row in table(path, _FILE, ("LABEL", "TEXT"), "latin-1"):
        yield Example(
            id=f"{number}",
            corpus="mishra-soni",
            channel=Channel.SMS,
            label=label_of(row["LABEL"], _LABELS, f"{path}: row {number}"),
            raw=row["TEXT"].encode(),
        )

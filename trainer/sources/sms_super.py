"""The Super SMS set, 2003-23: ``DS_legacy.csv``, mostly chat, and ``DS_latest.csv``, mostly spam; 1 is spam.

Most of the latest spam is lower-cased with its digits stripped, and part of the latest ham looks machine-written.
The legacy rows are in the other orthography, so the letter case alone would tell the labels apart; the encoder
must not read the case of letters from this corpus (see ``prepare``), and the two files are reported apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.example import Example, Label
from trainer.sources.archive import label_of, table

_LABELS = {"0": Label.HAM, "1": Label.SPAM}
_FILES = (("DS_legacy.csv", "super-legacy"), ("DS_latest.csv", "super-latest"))


def read(path: Path) -> Iterator[Example]:
    """The corpus's messages, the older file first. Raises CorpusError."""
    for file, corpus in _FILES:
        for number, row in table(path, file, ("SMSes", "Labels"), "utf-8"):
            if not row["SMSes"].strip():
                continue
            yield Example(
                id=f"{file}#{number}",
                corpus=corpus,
                channel=Channel.SMS,
                label=label_of(row["Labels"], _LABELS, f"{path}: {file} row {number}"),
                raw=row["SMSes"].encode(),
            )

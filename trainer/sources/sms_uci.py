"""UCI SMS Spam Collection, up to 2011: label TAB text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.errors import CorpusError
from trainer.example import Example, Label
from trainer.sources.archive import label_of, one_file

_FILE = "SMSSpamCollection"
_LABELS = {"ham": Label.HAM, "spam": Label.SPAM}


def read(path: Path) -> Iterator[Example]:
    """The corpus's messages. Raises CorpusError."""
    lines = one_file(path, _FILE).decode("utf-8", "replace").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        value, tab, text = line.rstrip("\r").partition("\t")
        if not tab:
            raise CorpusError(f"{path}: line {number} of {_FILE} has no tab; fetch it again")
        yield Example(
            id=f"{number}",
            corpus="uci",
            channel=Channel.SMS,
            label=label_of(value, _LABELS, f"{path}: line {number}"),
            raw=text.encode(),
        )

"""Bank alerts and one-time codes in 72 languages: label TAB language TAB text, split by ``group``, the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.errors import CorpusError
from trainer.example import Example, Label
from trainer.sources.archive import label_of, members

_LABELS = {"ham": Label.HAM}


def read(path: Path) -> Iterator[Example]:
    """The corpus's messages. Raises CorpusError."""
    for name, content in members(path):
        if not name.endswith(".tsv"):
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").split("\n"), 1):
            if not line.strip():
                continue
            cells = line.rstrip("\r").split("\t", 2)
            if len(cells) != 3:
                raise CorpusError(f"{path}: line {number} of {name} wants label, language and text; fetch it again")
            yield Example(
                id=f"{name}#{number}",
                corpus="templates-ham",
                channel=Channel.SMS,
                label=label_of(cells[0], _LABELS, f"{path}: line {number} of {name}"),
                raw=cells[2].encode(),
                group=name.removesuffix(".tsv"),
            )

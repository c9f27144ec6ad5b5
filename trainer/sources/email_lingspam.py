"""Ling-Spam, up to 2000: a linguists' list and spam, subject and body; spam files begin with ``spmsg``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.example import Example, Label
from trainer.sources.archive import members


def read(path: Path) -> Iterator[Example]:
    """The corpus's messages. Raises CorpusError."""
    for name, content in members(path):
        if not name.startswith("bare/"):
            continue
        spam = name.rpartition("/")[2].startswith("spmsg")
        yield Example(
            id=name,
            corpus="lingspam",
            channel=Channel.EMAIL,
            label=Label.SPAM if spam else Label.HAM,
            raw=content,
        )

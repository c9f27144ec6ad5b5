"""Five mailboxes of the Enron corpus, 1999-2002: ham with its few headers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.example import Example, Label
from trainer.sources.archive import members, message_date


def read(path: Path) -> Iterator[Example]:
    """The corpus's messages. Raises CorpusError."""
    for name, content in members(path):
        if "/" not in name:
            continue
        yield Example(
            id=name,
            corpus="enron-raw-ham",
            channel=Channel.EMAIL,
            label=Label.HAM,
            raw=content,
            date=message_date(content, (1999, 2002)),
            group=name.partition("/")[0],
        )

"""A public technical mailing list, 2019-23: ham with full headers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.example import Example, Label
from trainer.sources.archive import members, message_date


def read(path: Path) -> Iterator[Example]:
    """The corpus's messages. Raises CorpusError."""
    for name, content in members(path):
        if not name.endswith(".eml"):
            continue
        yield Example(
            id=name,
            corpus="usrp-users",
            channel=Channel.EMAIL,
            label=Label.HAM,
            raw=content,
            date=message_date(content, (2019, 2023)),
        )

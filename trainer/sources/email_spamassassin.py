"""SpamAssassin public corpus, 2001-02: folders of raw messages behind an mbox ``From`` line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.errors import CorpusError
from trainer.example import Example, Label
from trainer.sources.archive import MBOX_FROM, members, message_date

_FOLDERS = {
    "easy-ham-1": Label.HAM,
    "easy-ham-2": Label.HAM,
    "hard-ham-1": Label.HAM,
    "spam-1": Label.SPAM,
    "spam-2": Label.SPAM,
}


def read(path: Path) -> Iterator[Example]:
    """The corpus's messages. Raises CorpusError."""
    for name, content in members(path):
        folder, _, file = name.partition("/")
        if not file or file.startswith("cmds"):
            continue
        if folder not in _FOLDERS:
            raise CorpusError(f"{path}: {name} is in no labelled folder; fetch it again")
        raw = MBOX_FROM.sub(b"", content, count=1)
        yield Example(
            id=name,
            corpus="spamassassin",
            channel=Channel.EMAIL,
            label=_FOLDERS[folder],
            raw=raw,
            date=message_date(raw, (2001, 2003)),
            group=folder,
        )

"""UCI SMS once more with YouTube comments, 438 of them repeated five times; only the comments are read here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.errors import CorpusError
from trainer.example import Example, Label
from trainer.sources.archive import label_of, table

_FILE = "spam-dataset.csv"
_LABELS = {"ham": Label.HAM, "spam": Label.SPAM}
_SMS, _COMMENT = "uci-spam-sms", "uci-youtube-spam"


def read(path: Path) -> Iterator[Example]:
    """The corpus's comments, each text once. Raises CorpusError."""
    seen: set[str] = set()
    for number, row in table(path, _FILE, ("label", "text", "source"), "utf-8"):
        label = label_of(row["label"], _LABELS, f"{path}: row {number}")
        if row["source"] not in {_SMS, _COMMENT}:
            raise CorpusError(f"{path}: row {number} names the source {row['source'][:30]!r}; fetch it again")
        if row["source"] == _SMS or row["text"] in seen:
            continue
        seen.add(row["text"])
        yield Example(
            id=f"{number}",
            corpus="yt-comments",
            channel=Channel.SMS,
            label=label,
            raw=row["text"].encode(),
        )

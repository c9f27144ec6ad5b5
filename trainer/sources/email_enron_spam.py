"""Enron-Spam, 1999-2005: six users, subject line and tokenised body, no headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.errors import CorpusError
from trainer.example import Example, Label
from trainer.sources.archive import members

_NAME = re.compile(r"(enron[1-6])/(ham|spam)/\d+\.(\d{4})-(\d\d)-(\d\d)\.")


def read(path: Path) -> Iterator[Example]:
    """The corpus's messages. Raises CorpusError."""
    for name, content in members(path):
        if name.count("/") < 2:
            continue
        found = _NAME.match(name)
        if found is None:
            raise CorpusError(f"{path}: {name} names no user, label and date; fetch it again")
        subject, _, body = content.partition(b"\n")
        yield Example(
            id=name,
            corpus="enron-spam",
            channel=Channel.EMAIL,
            label=Label(found.group(2)),
            raw=subject.rstrip() + b"\n\n" + body,  # an empty line ends the headers (RFC 5322 section 2.1)
            date=datetime(int(found.group(3)), int(found.group(4)), int(found.group(5)), tzinfo=UTC),
            group=found.group(1),
        )

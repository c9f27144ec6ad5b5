"""Nazario's phishing mail, 2004-05: three mboxes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.example import Example, Label
from trainer.sources.archive import MBOX_FROM, members, message_date

_NEXT = re.compile(rb"(?:\A|(?<=\n))(?=From \S+ .*\d{4}\r?\n)")
_SMALLEST = 50
"""Octets: what is left of a split at a quoted ``From`` line is no message."""


def read(path: Path) -> Iterator[Example]:
    """The corpus's messages without the mailbox program's own first message. Raises CorpusError."""
    for name, content in members(path):
        if not name.endswith(".mbox"):
            continue
        for number, part in enumerate(_NEXT.split(content)):
            raw = MBOX_FROM.sub(b"", part, count=1)
            if len(raw) < _SMALLEST or b"FOLDER INTERNAL DATA" in raw[:2048]:
                continue
            yield Example(
                id=f"{name}#{number}",
                corpus="nazario",
                channel=Channel.EMAIL,
                label=Label.SPAM,
                raw=raw,
                date=message_date(raw, (2004, 2006)),
                group=name,
            )

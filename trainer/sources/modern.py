"""Messages of today written for this project, and shipped with it: ``trainer/modern/<channel>/*.jsonl``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from filterd.core.envelope import Channel
from trainer.errors import CorpusError
from trainer.example import Example, Label

FOLDER = Path(__file__).parents[1] / "modern"
"""Where the package keeps its own corpora."""


class Part(StrEnum):
    """What a message is for."""

    TRAIN = "train"
    TRIPWIRE = "tripwire"
    """Ham that training never reads: a model that holds it is not fit for mail of today."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One message as it was written."""

    id: str
    label: Label
    kind: str
    lang: str
    """ISO 639-1."""
    part: Part
    sender: str
    """A mailbox as RFC 5322 writes it, or an SMS sender id or number."""
    subject: str
    """Empty for an SMS."""
    text: str
    html: str
    """Empty when the message has no HTML alternative."""


def examples(folder: Path, part: Part, channel: Channel, raw_of: Callable[[Written], bytes]) -> Iterator[Example]:
    """The messages of one part, each as ``raw_of`` writes it. Raises CorpusError."""
    for message in written(folder):
        if message.part is part:
            yield Example(
                id=message.id,
                corpus="modern",
                channel=channel,
                label=message.label,
                raw=raw_of(message),
                group=message.kind,
            )


def written(folder: Path) -> Iterator[Written]:
    """Every message of the folder's files, one JSON object a line. Raises CorpusError."""
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise CorpusError(f"{folder}: holds no *.jsonl; install the package again")
    for path in files:
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except OSError as exc:
            raise CorpusError(f"{path}: cannot be read ({exc}); install the package again") from exc
        for number, line in enumerate(lines, 1):
            if line:
                yield _parsed(line, f"{path}: line {number}")


def _parsed(line: str, where: str) -> Written:
    try:
        row = json.loads(line)
        return Written(
            id=row["id"],
            label=Label(row["label"]),
            kind=row["kind"],
            lang=row["lang"],
            part=Part(row["part"]),
            sender=row["from"],
            subject=row.get("subject", ""),
            text=row["text"],
            html=row.get("html", ""),
        )
    except (ValueError, KeyError, TypeError) as exc:
        raise CorpusError(f"{where} is no message of this corpus: {exc!r}") from exc

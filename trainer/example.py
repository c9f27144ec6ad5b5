"""One labelled message of a corpus."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from filterd.core.envelope import Channel


class Label(StrEnum):
    """Truth given by a corpus or a person."""

    HAM = "ham"
    SPAM = "spam"


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A message as its corpus holds it."""

    id: str
    """Unique within the corpus: the member's path or the row number."""
    corpus: str
    channel: Channel
    label: Label
    raw: bytes
    """The message as received; for an SMS, UTF-8 text."""
    date: datetime | None = None
    """Aware, UTC; None where the corpus does not tell, or where the date cannot be true."""
    group: str = ""
    """Who wrote or collected it: a mailbox, a template set, a folder."""

    def __post_init__(self) -> None:
        if self.date is not None and self.date.tzinfo is None:
            raise ValueError("date must be aware")


def rank(example: Example, purpose: str) -> bytes:
    """A fixed random order per purpose: one order for caps and splits would keep what the split sends to training."""
    return hashlib.sha256(f"{purpose}/{example.corpus}/{example.id}".encode()).digest()


def draw(example: Example, purpose: str) -> float:
    """[0, 1): the same for the same example and purpose."""
    return int.from_bytes(rank(example, purpose)[:4], "big") / 2**32

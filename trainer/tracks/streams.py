"""Corpora in the order in which their messages came, for the online jig."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from filterd.core.envelope import Channel
from trainer.errors import CorpusError
from trainer.example import Example, Label
from trainer.sources import email_csdmc2010, email_enron_spam, email_spamassassin, sms_uci
from trainer.sources.archive import one_file
from trainer.sources.catalogue import SOURCES

_COPIES = "dup_with_spamassassin.txt"
_READERS = {
    "spamassassin": email_spamassassin.read,
    "csdmc2010": email_csdmc2010.read,
    "enron-spam": email_enron_spam.read,
    "uci": sms_uci.read,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One corpus as a stream."""

    name: str
    examples: tuple[Example, ...]
    order: str
    """In words, for the reader."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    has_copies: bool = False
    """Its archive lists members that repeat the SpamAssassin corpus; they are left out."""
    every: int = 1
    """One message in so many is read, by a hash of its id."""
    is_dated: bool = True


CHOICES: Mapping[Channel, Mapping[str, _Choice]] = MappingProxyType(
    {
        Channel.EMAIL: {
            "spamassassin": _Choice(),
            "csdmc2010": _Choice(has_copies=True),
            "enron-spam": _Choice(has_copies=True, every=6),
        },
        Channel.SMS: {"uci": _Choice(is_dated=False)},
    }
)


def streams(channel: Channel, data: Path, *, most: int | None = None) -> list[Stream]:
    """The streams of a channel, each cut to its first ``most`` messages. Raises CorpusError."""
    return [_stream(name, choice, data, most) for name, choice in CHOICES[channel].items()]


def _stream(name: str, choice: _Choice, data: Path, most: int | None) -> Stream:
    read = _READERS[name]
    path = next(source.path(data) for source in SOURCES if source.read is read)
    copies = _copies(path) if choice.has_copies else frozenset()
    folder = path.name.removesuffix(".tar.xz")
    examples = [
        example
        for example in read(path)
        if f"{folder}/{example.id}" not in copies and _rank(example) % choice.every == 0
    ]
    examples = (in_order(examples) if choice.is_dated else examples)[:most]
    if {example.label for example in examples} != set(Label):
        raise CorpusError(f"{path}: its first {len(examples)} messages are not of both labels; a stream needs both")
    parts = [
        "by date of receipt" if choice.is_dated else "in the order of its file",
        *(["without the messages it shares with spamassassin"] if choice.has_copies else []),
        *([f"one message in {choice.every}"] if choice.every > 1 else []),
    ]
    return Stream(name=name, examples=tuple(examples), order=", ".join(parts))


def in_order(examples: Iterable[Example]) -> list[Example]:
    """By date; those of one moment, and those without, in an order that tells nothing of their labels."""
    return sorted(examples, key=lambda each: (each.date or datetime.min.replace(tzinfo=UTC), _rank(each)))


def _copies(path: Path) -> frozenset[str]:
    return frozenset(line.split()[0] for line in one_file(path, _COPIES).decode().splitlines() if line.strip())


def _rank(example: Example) -> int:
    return int.from_bytes(hashlib.sha256(example.id.encode()).digest()[:8], "big")

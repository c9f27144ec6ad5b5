"""A scripted next hop that knows which of its messages it took, for whom, and from whom."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import SupportsIndex

from tests.filterd.smtp_dialogue import NextHop


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A message with its envelope, as the commands of its connection say."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes


class _Commands(list[str]):
    """Every command, and by connection: two may be open at once."""

    def __init__(self) -> None:
        super().__init__()
        self.since_mail: dict[object, list[str]] = defaultdict(list)

    def append(self, line: str, /) -> None:
        super().append(line)
        said = self.since_mail[asyncio.current_task()]
        if line.startswith("MAIL"):
            said.clear()
        said.append(line)


class _Messages(list[bytes]):
    """Every message that was sent; those that are accepted are noted in the moment they arrive."""

    def __init__(self, hop: TakingHop) -> None:
        super().__init__()
        self._hop = hop

    def append(self, raw: bytes, /) -> None:
        super().append(raw)
        self._hop.note(raw)

    def insert(self, index: SupportsIndex, raw: bytes, /) -> None:
        raise NotImplementedError


@dataclass
class TakingHop(NextHop):
    """Takes a message unless it is about to refuse it: with a reply of 3yz, 4yz or 5yz to the final dot."""

    taken: list[Taken] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._said = _Commands()
        self.commands = self._said
        self.messages = _Messages(self)

    def note(self, raw: bytes) -> None:
        """A message has arrived whole."""
        if self.answers.get(".", "250")[0] in "345":
            return
        said = self._said.since_mail[asyncio.current_task()]
        sender = said[0].partition("<")[2].partition(">")[0]
        recipients = [line[9:].partition("@")[0] for line in said if line.startswith("RCPT TO:<")]
        self.taken.append(Taken(sender=sender, recipients=tuple(recipients), raw=raw))

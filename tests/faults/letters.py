"""The messages of the fault runs, and how their copies are recognised.

Each letter carries its token, forged headers that must be gone when it arrives, and lines that begin with dots.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tests.faults.ledger import Delivered, Held, Nature, Record, Status

SENDER, RECIPIENT = "ann@example.org", "bob@example.net"
_DOMAIN = ".letter.example"
_WORDS = {Nature.HAM: "the agenda for Monday", Nature.SPAM: "lottery winner", Nature.UNSCORED: "the agenda"}
"""What the small models of the tests know (``tests/filterd/tiny_bundle.py``)."""
_FORGED = b"X-Spam-Status: No, score=-99.0 required=5.0\r\n"
_TOKEN = re.compile(rb"(?m)^X-Token: (\S+)\r?$")
_STATUS = re.compile(rb"(?im)^X-Spam-Status: (\w+)")
_FILLER = b"Lorem ipsum dolor sit amet, consectetur adipisici elit.\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message to send."""

    token: str
    nature: Nature = Nature.HAM
    size: int = 0
    """Octets of filler behind the text."""

    @property
    def sender(self) -> str:
        """Of the envelope: it names the letter where the gateway writes no more than a sender's domain."""
        return f"ann@{self.token}{_DOMAIN}"

    @property
    def raw(self) -> bytes:
        """As its sender wrote it, without dot-stuffing."""
        return self._head() + _FORGED + self._rest()

    def is_held_in(self, raw: bytes) -> bool:
        """Whether a held body is this letter, octet for octet."""
        return raw == self.raw

    def arrived_in(self, raw: bytes) -> bool:
        """Whether a delivered message is our block and this letter without the forged line, octet for octet."""
        return raw.endswith(b"\r\n" + self._head() + self._rest())

    def _head(self) -> bytes:
        return f"From: Ann <{SENDER}>\r\nTo: <{RECIPIENT}>\r\nX-Token: {self.token}\r\n".encode()

    def _rest(self) -> bytes:
        text = f"Subject: {self.token}\r\n\r\n{_WORDS[self.nature]}\r\n.\r\n..a line with dots\r\n"
        return text.encode() + _FILLER * (self.size // len(_FILLER))


def token_in(raw: bytes) -> str:
    """The token of a copy; empty where there is none."""
    found = _TOKEN.search(raw)
    return found[1].decode() if found else ""


def delivered_from(raw: bytes, letters: dict[str, Letter]) -> Delivered:
    """The ledger's line for what the next hop took."""
    token = token_in(raw)
    words = _STATUS.findall(raw.partition(b"\r\n\r\n")[0])
    known = {b"No": Status.NO, b"Yes": Status.YES, b"Unscanned": Status.UNSCANNED}
    status = known.get(words[0], Status.NONE) if len(words) == 1 else Status.NONE
    is_intact = token in letters and letters[token].arrived_in(raw)
    return Delivered(token=token, status=status, is_intact=is_intact)


def record_from(event: dict[str, Any]) -> Record | None:
    """The ledger's line for a judged message in the gateway's log; None where it is about no letter."""
    domain = str(event["sender"]).partition(":")[0]
    if not domain.endswith(_DOMAIN):
        return None
    return Record(token=domain.removesuffix(_DOMAIN), id=event["id"], outcome=event["outcome"])


def held_from(raw: bytes, letters: dict[str, Letter]) -> Held:
    """The ledger's line for a held body."""
    token = token_in(raw)
    return Held(token=token, is_intact=token in letters and letters[token].is_held_in(raw))

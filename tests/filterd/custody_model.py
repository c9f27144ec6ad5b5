"""A reference model of the mail edges: what each command is answered, and who has a message afterwards.

Written from ``docs/delivery.md``, not from the code: two dozen lines of state instead of sessions, relay and pipeline.
Recipients b and c hold spam; d has it tagged, so that a message for both is mixed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from filterd.errors import ScanDown, StoreFull, StoreUnavailable, Unscannable
from tests.faults.ledger import Nature, Status, Told

MAX_RECIPIENTS = 3
MAX_BYTES = 2_000
MAX_UNKNOWN = 5
SCANNER: Mapping[str, Exception | None] = {
    "up": None,
    "unscannable": Unscannable("too deep"),
    "down": ScanDown("no model"),
    "passing": ScanDown("no model, and the operator lets mail pass then"),
    "bug": RuntimeError("password=hunter2"),
}
STORE: Mapping[str, Exception | None] = {"up": None, "down": StoreUnavailable("gone"), "full": StoreFull("full")}
_HOLD = {"up": "250", "down": "451", "full": "452"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the next hop does with a message, and what its sender must hear then."""

    verb: str
    says: str
    code: str
    told: Told
    is_taken: bool = False


NEXT_HOP: Mapping[str, Answer] = {
    "takes": Answer(".", "250 2.0.0 Ok: queued", "250", Told.ACKED, is_taken=True),
    "soft at DATA": Answer("DATA", "451 4.3.0 later", "451", Told.DEFERRED),
    "hard at DATA": Answer("DATA", "554 5.7.1 no", "554", Told.REFUSED),
    "closes at DATA": Answer("DATA", "close", "451", Told.DEFERRED),
    "soft": Answer(".", "452 4.3.1 full", "452", Told.DEFERRED),
    "hard": Answer(".", "554 5.7.1 no", "554", Told.REFUSED),
    "odd": Answer(".", "354 more", "451", Told.DEFERRED),
    "leaves": Answer(".", "421 4.3.2 bye", "451", Told.UNCLEAR),
    "closes": Answer(".", "close", "451", Told.UNCLEAR, is_taken=True),
    "resets": Answer(".", "reset", "451", Told.UNCLEAR, is_taken=True),
    "garbles": Answer(".", "garbage", "451", Told.UNCLEAR, is_taken=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """What must become of a message."""

    code: str
    told: Told
    each: tuple[tuple[str, Told], ...] = ()
    """Code and meaning for each recipient, where each has a reply of its own."""
    relayed: tuple[str, ...] = ()
    """Recipients the next hop has it for."""
    held: tuple[str, ...] = ()
    status: Status = Status.NO
    records: Mapping[str, int] = field(default_factory=dict)
    """Terminal records by outcome; ``bug`` where an exception ended it."""


def handle(nature: Nature, recipients: Sequence[str], scanner: str, store: str, hop: str) -> Handled:
    """What becomes of a message that has arrived whole."""
    if scanner == "bug":
        return Handled(code="451", told=Told.DEFERRED, records={"bug": 1})
    if scanner == "down":
        return Handled(code="451", told=Told.DEFERRED, records={"deferred": 1})
    is_spam = scanner == "up" and nature is Nature.SPAM
    to_hold = tuple(r for r in recipients if scanner == "unscannable" or (is_spam and r != "d"))
    to_relay = tuple(r for r in recipients if r not in to_hold)
    parts = bool(to_hold) + bool(to_relay)
    if to_hold and store != "up":
        return Handled(code=_HOLD[store], told=Told.DEFERRED, records={"deferred": parts})
    if not to_relay:
        return Handled(code="250", told=Told.ACKED, held=to_hold, records={"held": 1})
    answer = NEXT_HOP[hop]
    status = Status.UNSCANNED if scanner == "passing" else Status.YES if is_spam else Status.NO
    relayed = to_relay if answer.is_taken else ()
    if answer.told is not Told.ACKED:
        outcome = "refused" if answer.told is Told.REFUSED else "deferred"
        return Handled(code=answer.code, told=answer.told, relayed=relayed, status=status, records={outcome: parts})
    records = Counter({"relayed": 1, "held": parts - 1})
    return Handled(code="250", told=Told.ACKED, relayed=relayed, held=to_hold, status=status, records=records)


def handle_each(nature: Nature, recipients: Sequence[str], scanner: str, store: str, hop: str) -> Handled:
    """The same where each recipient has a reply of its own: each is handled as if it were alone."""
    alone = {name: handle(nature, [name], scanner, store, hop) for name in recipients}
    is_mixed = scanner == "up" and nature is Nature.SPAM
    parts = {is_mixed and name == "d": found for name, found in alone.items()}
    relayed = tuple(name for name in recipients if alone[name].relayed)
    return Handled(
        code=alone[recipients[0]].code,
        told=alone[recipients[0]].told,
        each=tuple((alone[name].code, alone[name].told) for name in recipients),
        relayed=relayed,
        held=tuple(name for name in recipients if alone[name].held),
        status=next((found.status for found in alone.values() if found.status is not Status.NO), Status.NO),
        records=sum((Counter(found.records) for found in parts.values()), Counter()),
    )


@dataclass(slots=True, kw_only=True)
class Session:
    """What one connection has been told so far."""

    is_extended: bool = False
    has_greeted: bool = False
    sender: str | None = None
    accepted: list[str] = field(default_factory=list)
    refused_with: str = ""
    """What the next hop said to MAIL, if it refused it: every recipient hears that."""
    is_open: bool = False
    """Whether the next hop has taken MAIL on a connection that stands."""
    unknown: int = 0

    def reset(self) -> None:
        """No reply leaves anything of one message for the next."""
        self.sender, self.refused_with, self.is_open = None, "", False
        self.accepted = []

    def greet(self, verb: str) -> str:
        """EHLO, HELO or LHLO."""
        self.reset()
        self.has_greeted, self.is_extended = True, verb != "HELO"
        return "250"

    def mail(self, sender: str, size: int = 0) -> str:
        """MAIL with a declared size; none where it is 0."""
        if not self.has_greeted or self.sender is not None:
            return "503"
        if size and not self.is_extended:
            return "555"
        if size > MAX_BYTES:
            return "552"
        self.sender = sender
        return "250"

    def rcpt(self, name: str, at_mail: str = "", at_rcpt: str = "") -> str:
        """RCPT, while the next hop would say this to MAIL and that to RCPT; nothing where it agrees."""
        said = self._rcpt_not_asked()
        if said:
            return said
        if at_mail and not self.is_open:
            self.refused_with = at_mail[:3]
            return self.refused_with
        self.is_open = at_rcpt != "close"
        if at_rcpt:
            return "451" if at_rcpt == "close" else at_rcpt[:3]
        self.accepted.append(name)
        return "250"

    def _rcpt_not_asked(self) -> str:
        """What is said where the next hop need not be asked, or cannot be."""
        if self.sender is None:
            return "503"
        if len(self.accepted) >= MAX_RECIPIENTS:
            return "452"
        return "451" if self.accepted and not self.is_open else self.refused_with

    def data(self) -> str:
        """DATA."""
        return "354" if self.sender is not None and self.accepted else "503"

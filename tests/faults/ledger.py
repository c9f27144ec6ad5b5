"""The ledger: what senders were told, against what the next hop has and the database holds.

Pure: it is handed what was said and what was found, and says what does not add up. A message is known by a token
that its sender put into it; a sender repeats a message under the same token until it is told 2xx, as a mail server
with a queue does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Told(StrEnum):
    """What the sender made of one attempt."""

    ACKED = "acked"
    """2xx: the message is no longer its own."""
    DEFERRED = "deferred"
    """It keeps the message, and nobody else may have it."""
    UNCLEAR = "unclear"
    """It keeps the message, but the other side may have it too (RFC 1047)."""
    REFUSED = "refused"
    """5xx: it gives up."""


class Nature(StrEnum):
    """What a message is, so that a verdict can be known to be wrong."""

    HAM = "ham"
    SPAM = "spam"
    UNSCORED = "unscored"
    """Nothing could score it when it was sent: no verdict may be found on it."""


class Status(StrEnum):
    """What our headers on a delivered message say."""

    NO = "no"
    YES = "yes"
    UNSCANNED = "unscanned"
    NONE = "none"
    """It has no header of ours, or more than one status."""


HONEST: Mapping[Nature, frozenset[Status]] = {
    Nature.HAM: frozenset({Status.NO, Status.UNSCANNED}),
    Nature.SPAM: frozenset({Status.YES, Status.UNSCANNED}),
    Nature.UNSCORED: frozenset({Status.UNSCANNED}),
}
"""What may stand on a delivered message of each nature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a sender."""

    token: str
    nature: Nature
    told: Told
    reply: str = ""
    """The reply as it was read, for the report."""
    is_theirs: bool = False
    """Whether a 5xx is the next hop's own word, or the operator's policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """One message the next hop took."""

    token: str
    status: Status
    is_intact: bool = True
    """Whether every octet behind our headers is the sender's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One message the database holds, in a state that somebody will act on."""

    token: str
    is_intact: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the gateway says became of one attempt: the terminal record of one message."""

    token: str
    id: str
    outcome: str
    """relayed, held, refused or deferred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What does not add up; each entry is a token and a reason."""

    lost: tuple[str, ...] = ()
    """Told 2xx, and nobody has it."""
    duplicates: tuple[str, ...] = ()
    """There are more copies than attempts that may have left one."""
    invented: tuple[str, ...] = ()
    """Delivered with a verdict that no scan of it can have given."""
    refused: tuple[str, ...] = ()
    """Told 5xx for a fault of ours."""
    altered: tuple[str, ...] = ()
    """Octets of the sender's were changed."""
    unknown: tuple[str, ...] = ()
    """Delivered or held, and never sent."""
    unrecorded: tuple[str, ...] = ()
    """The records are fewer, more or others than what senders were told."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Messages, attempts, what was told, copies: for the report."""

    @property
    def is_clean(self) -> bool:
        """Whether everything adds up."""
        return not self.faults()

    def faults(self) -> dict[str, tuple[str, ...]]:
        """The entries that are not empty, by name."""
        names = ("lost", "duplicates", "invented", "refused", "altered", "unknown", "unrecorded")
        return {name: found for name in names if (found := getattr(self, name))}


def audit(
    attempts: Sequence[Attempt],
    delivered: Iterable[Delivered],
    held: Iterable[Held],
    records: Iterable[Record] | None = None,
) -> Audit:
    """What does not add up between what was told and what was found.

    A message may have one copy for every attempt that was acknowledged or ended unclear, and must have one if it
    was acknowledged. A copy for an attempt that was deferred or refused will come twice, or at all where it should
    not: it counts as a duplicate. ``records`` are the gateway's own, where it keeps any that can be looked at.
    """
    delivered, held = tuple(delivered), tuple(held)
    found: tuple[Delivered | Held, ...] = (*delivered, *held)
    natures = {attempt.token: attempt.nature for attempt in attempts}
    copies = Counter(copy.token for copy in found)
    acked = {attempt.token for attempt in attempts if attempt.told is Told.ACKED}
    allowed = Counter(attempt.token for attempt in attempts if attempt.told in (Told.ACKED, Told.UNCLEAR))
    told = Counter(attempt.told.value for attempt in attempts)
    return Audit(
        lost=tuple(sorted(token for token in acked if not copies[token])),
        duplicates=tuple(
            f"{token}: {count} copies, {allowed[token]} allowed"
            for token, count in sorted(copies.items())
            if token in natures and count > allowed[token]
        ),
        invented=tuple(
            f"{copy.token}: {natures[copy.token].value} delivered as {copy.status.value}"
            for copy in delivered
            if copy.token in natures and copy.status not in HONEST[natures[copy.token]]
        ),
        refused=tuple(
            f"{attempt.token}: {attempt.reply}"
            for attempt in attempts
            if attempt.told is Told.REFUSED and not attempt.is_theirs
        ),
        altered=tuple(copy.token for copy in found if not copy.is_intact),
        unknown=tuple(sorted(token for token in copies if token not in natures)),
        unrecorded=() if records is None else tuple(_unrecorded(attempts, tuple(records))),
        counts={
            "messages": len(natures),
            "attempts": len(attempts),
            **{kind.value: told[kind.value] for kind in Told},
            "delivered": len(delivered),
            "held": len(held),
            "second copies": sum(count - 1 for count in copies.values() if count > 1),
        },
    )


def _unrecorded(attempts: Sequence[Attempt], records: Sequence[Record]) -> Iterator[str]:
    """One record for each message that was answered, none twice, and none that says something else.

    An attempt that ended unclear may have any record, or none. One that was deferred may have been refused before its
    message came, and then there is nothing to record.
    """
    twice = [id for id, count in Counter(record.id for record in records).items() if count > 1]
    yield from (f"{id}: recorded twice" for id in twice)
    for token in sorted({attempt.token for attempt in attempts} | {record.token for record in records}):
        told = Counter(attempt.told for attempt in attempts if attempt.token == token)
        said = Counter(_SAYS[record.outcome] for record in records if record.token == token)
        spare = told[Told.UNCLEAR]
        if said[Told.ACKED] < told[Told.ACKED]:
            yield f"{token}: {told[Told.ACKED]} acknowledged, {said[Told.ACKED]} recorded as relayed or held"
        over = sum(max(0, said[kind] - told[kind]) for kind in said)
        if over > spare:
            yield f"{token}: {sum(said.values())} records, {sum(told.values())} attempts, {spare} of them unclear"


_SAYS: Mapping[str, Told] = {
    "relayed": Told.ACKED,
    "held": Told.ACKED,
    "refused": Told.REFUSED,
    "deferred": Told.DEFERRED,
}

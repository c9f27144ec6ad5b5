"""Takes mail that was kept elsewhere as labelled examples: scored like any other, labelled, and never delivered.

The labels train the next model. Until then they act on near copies only, as those of one reporter within the caps of
``core.influence``, and at once on the mail of the recipient they are given for. They do not move the model in service.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from filterd.core.envelope import Channel, Envelope, MessageId, Recipient
from filterd.core.imported import as_received, example_id, sender_of
from filterd.core.verdict import Feedback, Label, Scan
from filterd.errors import Overloaded, ScanDown, Unscannable
from filterd.feedback_ports import ExampleLedger
from filterd.ports import Clock, Scanner

REPORTER = "import"
"""Imported labels are given by ``import:`` and the name of the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is said of the mail in one place."""

    name: str
    label: Label
    recipient: str = ""
    """Whose mail it is; empty where it is nobody's in particular."""

    @property
    def reporter(self) -> str:
        """Who gives the labels: what ``filterd undo --by`` takes."""
        return f"{REPORTER}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came of a batch: messages."""

    new: int
    repeated: int
    """Labelled so before, by the same batch."""
    unread: tuple[str, ...]
    """Names of those that cannot be scanned."""
    agreed: int
    """Of those that were read, the ones the model calls so by itself."""


class Importer:
    """Labels mail from elsewhere."""

    def __init__(self, scanner: Scanner, ledger: ExampleLedger | None, *, clock: Clock) -> None:
        """Without a ``ledger`` everything is rehearsed and nothing is written: all counts as new."""
        self._scanner = scanner
        self._ledger = ledger
        self._clock = clock

    async def take(self, batch: Batch, messages: Iterable[tuple[str, bytes]]) -> Imported:
        """Label every message, by name and content. Doing it again changes nothing.

        Raises ScanDown and StoreUnavailable; what was labelled before stands.
        """
        counts: Counter[str] = Counter()
        unread: list[str] = []
        for name, raw in messages:
            received, sender = as_received(raw), sender_of(raw)
            scan = await self._scan(batch, received, sender)
            if scan is None:
                unread.append(name)
                continue
            is_spam = scan.probability >= scan.points.get("normal", 0.5)
            counts["agreed"] += is_spam is (batch.label is Label.SPAM)
            counts["new" if await self._add(batch, example_id(received), scan, sender) else "repeated"] += 1
        return Imported(new=counts["new"], repeated=counts["repeated"], unread=tuple(unread), agreed=counts["agreed"])

    async def _scan(self, batch: Batch, received: bytes, sender: str) -> Scan | None:
        envelope = Envelope(
            id=example_id(received),
            channel=Channel.EMAIL,
            sender=sender,
            recipients=(Recipient(address=batch.recipient),),
            received_at=self._clock.now(),
        )
        try:
            return await self._scanner.scan(envelope, received)
        except Unscannable:
            return None
        except Overloaded as exc:
            raise ScanDown(exc.detail) from exc

    async def _add(self, batch: Batch, id: MessageId, scan: Scan, sender: str) -> bool:
        if self._ledger is None:
            return True
        feedback = Feedback(
            message_id=id,
            label=batch.label,
            reporter=batch.reporter,
            given_at=self._clock.now(),
            origin="import",
            recipient=batch.recipient,
        )
        return await self._ledger.add_example(feedback, scan, sender)

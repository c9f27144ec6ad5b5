"""For clients that only ask: what we think of a message, and what people say it is.

Such a client keeps the message and does what it likes, so nothing is handed on or held. What it asked is recorded
like any other message, and can be explained and labelled by the id it is told.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from filterd.clock import mint_id
from filterd.core.advice import Advice, marks_of, mildest
from filterd.core.envelope import Channel, Envelope, MessageId, Peer, Recipient, address_key
from filterd.core.headers import find_id
from filterd.core.near import is_near
from filterd.core.verdict import Action, Label, OutcomeKind, Scan
from filterd.errors import MessageTooLarge, NotFound, Overloaded, ScanDown, Unscannable
from filterd.feedback_ports import FeedbackLedger, Labels
from filterd.labeller import Labeller
from filterd.pipeline import Pipeline
from filterd.ports import Clock, VerdictRow

_GRACE_SECONDS = 0.75
"""Three times what verdicts are gathered for (``verdict_buffer``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A message and what its client says about how it came."""

    raw: bytes
    sender: str = ""
    recipients: tuple[str, ...] = ()
    """Whose rules count; none means those for everybody."""
    peer: Peer


class Adviser:
    """Answers questions of one origin, and writes down labels that come the same way."""

    def __init__(
        self, pipeline: Pipeline, labeller: Labeller, ledger: FeedbackLedger, *, clock: Clock, most_bytes: int
    ) -> None:
        """``most_bytes`` is the size of the largest message that is judged."""
        self._pipeline = pipeline
        self._labeller = labeller
        self._ledger = ledger
        self._clock = clock
        self.most_bytes = most_bytes

    async def advise(self, asked: Asked) -> Advice:
        """What we think of it.

        Raises MessageTooLarge; Overloaded where mail of ours would now be deferred; ScanDown where mail of ours would
        pass without having been scored, which nobody else is told is ham.
        """
        envelope = self._envelope(asked, mint_id(self._clock))
        processed = await self._pipeline.advise(envelope, asked.raw)
        verdicts = processed.verdicts
        unscored = [verdict.decision.action for verdict in verdicts if verdict.outcome.kind is OutcomeKind.DEFERRED]
        if unscored:
            raise Overloaded("deferred by policy") if Action.DEFER in unscored else ScanDown
        chosen = mildest(verdicts)
        policy = self._pipeline.settings.policies[Channel.EMAIL]
        return Advice(
            id=chosen.id,
            decision=chosen.decision,
            marks=marks_of(chosen.decision, chosen.recipients[0], policy),
        )

    async def teach(self, asked: Asked, label: Label, reporter: str) -> bool:
        """Write down that ``reporter`` calls the message so; whether that is new. Durable on return.

        A message is the one whose id stands in its header, if its text is much the same: a sender can write any id. One
        that we have not seen is judged and kept under an id of its content, so that it is the same one next time.

        Raises MessageTooLarge, Unscannable where nothing can be learned from it, ScanDown and StoreUnavailable.
        """
        who = address_key(reporter)
        own = replace(asked, recipients=(who,) if who else asked.recipients)
        id = await self._seen(own)
        if id is None:
            id = await self._keep(own)
        return await self._labeller.add(id, label, who or self._labeller.origin, who)

    async def forget(self, asked: Asked, reporter: str) -> bool:
        """Take back what ``reporter`` said about the message; whether there was anything. Raises StoreUnavailable."""
        who = address_key(reporter) or self._labeller.origin
        taken = 0
        for id in filter(None, (find_id(asked.raw), content_id(asked.raw))):
            taken += len(await self._ledger.revoke(Labels(message=id, reporter=who), who))
        return taken > 0

    async def _seen(self, asked: Asked) -> MessageId | None:
        """The message of ours that this is."""
        id = find_id(asked.raw)
        if id is None:
            return None
        try:
            past = await self._past(id)
        except NotFound:
            return None
        judged = await self._pipeline.judge(self._envelope(asked, MessageId("")), asked.raw)
        scan = judged[0].decision.scan
        return (
            id if isinstance(scan, Scan) and any(_is_alike(scan.fingerprint, row.fingerprint) for row in past) else None
        )

    async def _past(self, id: MessageId) -> Sequence[VerdictRow]:
        try:
            return await self._ledger.verdicts(id)
        except NotFound:
            # What was asked about a moment ago is written behind the reply.
            await asyncio.sleep(_GRACE_SECONDS)
            return await self._ledger.verdicts(id)

    async def _keep(self, asked: Asked) -> MessageId:
        envelope = self._envelope(asked, content_id(asked.raw))
        processed = await self._pipeline.advise(envelope, asked.raw, OutcomeKind.TAUGHT)
        decision = processed.verdicts[0].decision
        if processed.verdicts[0].outcome.kind is OutcomeKind.DEFERRED:
            raise ScanDown
        if decision.scan is None:
            raise Unscannable("nothing can be learned from it")
        return envelope.id

    def _envelope(self, asked: Asked, id: MessageId) -> Envelope:
        if len(asked.raw) > self.most_bytes:
            raise MessageTooLarge
        return Envelope(
            id=id,
            channel=Channel.EMAIL,
            sender=asked.sender,
            recipients=tuple(Recipient(address=address) for address in asked.recipients or ("",)),
            received_at=self._clock.now(),
            peer=asked.peer,
        )


def content_id(raw: bytes) -> MessageId:
    """An id made of the message alone, in the form of a UUIDv8. Source: RFC 9562 section 5.8."""
    value = int.from_bytes(hashlib.sha256(raw).digest()[:16], "big")
    value = value & ~(0xF << 76) | (0x8 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    # Ids sort by time: one that has none comes before all that do.
    return MessageId(f"{value & (1 << 80) - 1:032x}")


def _is_alike(one: str, other: str) -> bool:
    """Whether two fingerprints are of nearly the same text; texts too short for one are not told apart."""
    return one == other or is_near(one, other)

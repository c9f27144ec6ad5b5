"""From a whole SMS in the inbox to a decision in the inbox. Used by the webhook itself and by the outbox worker.

Every step may be repeated: a message that was judged twice has one verdict, one held row and one place in the
outbox, because all three are keyed by its id.
"""

from __future__ import annotations

from dataclasses import dataclass

from filterd.core.envelope import Channel, Envelope, Peer, Recipient
from filterd.core.verdict import Action, OutcomeKind, Reply
from filterd.failpoints import failpoint
from filterd.pipeline import Pipeline
from filterd.ports import SmsInbox, SmsMessage

_QUEUED = Reply(code=250, enhanced="2.0.0", lines=("Ok: queued",))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRelay:
    """The relay of the SMS channel: hands a message on by queueing it for the customer's URL."""

    inbox: SmsInbox
    is_forwarding: bool
    """False where nothing is to be called: no URL is set, or the provider calls it itself."""

    async def send(self, envelope: Envelope, raw: bytes) -> Reply:  # noqa: ARG002  # the outbox has the payload
        """Positive once the decision is durable. Raises StoreUnavailable."""
        await self.inbox.decided(envelope.id, forward=self.is_forwarding)
        return _QUEUED


class SmsJudge:
    """Runs whole messages through the pipeline and settles them in the inbox."""

    def __init__(self, *, pipeline: Pipeline, inbox: SmsInbox, is_tagging_spam: bool, retry_seconds: float) -> None:
        self._pipeline = pipeline
        self._inbox = inbox
        self._is_tagging_spam = is_tagging_spam
        self._retry_seconds = retry_seconds

    async def settle(self, message: SmsMessage, *, has_customer: bool, is_redirected: bool) -> OutcomeKind:
        """Judge, then mark the message decided, or due again if it could not be judged.

        ``has_customer`` says whether there is a URL to forward to, ``is_redirected`` that the provider will call it
        itself if the message passes. Raises StoreUnavailable; the message is then still undecided.
        """
        relay = OutboxRelay(inbox=self._inbox, is_forwarding=has_customer and not is_redirected)
        processed = await self._pipeline.process(envelope_of(message), message.text.encode("utf-8"), relay)
        failpoint("sms.judged")
        kind = processed.verdicts[0].outcome.kind
        if kind is OutcomeKind.HELD:
            await self._inbox.decided(message.id, forward=has_customer and self._is_tagging_spam)
        elif kind is OutcomeKind.REFUSED:
            await self._inbox.decided(message.id, forward=False)
        elif kind is OutcomeKind.DEFERRED:
            await self._inbox.retry_later(message.id, self._retry_seconds)
        return kind

    async def would_pass(self, message: SmsMessage) -> bool:
        """Whether the message would be handed on; changes nothing."""
        judged = await self._pipeline.judge(envelope_of(message), message.text.encode("utf-8"))
        return judged[0].decision.action in {Action.ACCEPT, Action.TAG}


def envelope_of(message: SmsMessage) -> Envelope:
    """Sender and recipient of the first part; the provider's name stands for the protocol."""
    first = message.parts[0]
    return Envelope(
        id=message.id,
        channel=Channel.SMS,
        sender=first.sender,
        recipients=(Recipient(address=first.recipient),),
        received_at=first.received_at,
        peer=Peer(protocol=first.provider),
    )

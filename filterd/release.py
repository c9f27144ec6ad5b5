"""A held message goes on after all: the stored octets behind one line of ours, past the filter.

The claim is a lease, so a process that dies between the next hop's 250 and ours leads to one more delivery of the
same message with the same release id, never to a lost one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from filterd.core.access import EVERYBODY, Reach
from filterd.core.envelope import Channel, MessageId, address_key
from filterd.core.headers import Stamp, release_header
from filterd.core.verdict import Feedback, Label, Reply
from filterd.errors import FilterdError, TemporaryError, UsageError
from filterd.failpoints import failpoint
from filterd.feedback_ports import FeedbackLedger
from filterd.labeller import write_down
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.ports import (
    Clock,
    HeldMessage,
    Quarantine,
    Relay,
    SmsInbox,
)

LEASE_SECONDS = 300.0
"""Longer than the next hop may take to answer."""
_QUEUED = Reply(code=250, enhanced="2.0.0", lines=("Ok, queued for the customer's URL",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What became of a release."""

    id: MessageId
    delivered: bool
    reply: Reply
    """The next hop's own words; for an SMS, ours."""


class Releaser:
    """Releases held messages."""

    def __init__(
        self,
        *,
        quarantine: Quarantine,
        ledger: FeedbackLedger,
        inbox: SmsInbox,
        relay: Relay,
        stamp: Callable[[], Stamp],
        clock: Clock,
        metrics: Metrics,
        events: Events,
        is_apart: bool = False,
    ) -> None:
        """``is_apart``: the next hop answers for each recipient, so that each has a release of their own."""
        self._is_apart = is_apart
        self._quarantine = quarantine
        self._ledger = ledger
        self._inbox = inbox
        self._relay = relay
        self._stamp = stamp
        self._clock = clock
        self._metrics = metrics
        self._events = events

    async def release(self, id: MessageId, by: str, *, label_ham: bool, reach: Reach = EVERYBODY) -> Released:
        """Hand the message on to its recipients within ``reach``; where the next hop refuses it, it is held again.

        The reply is the first refusal, where there is one. Raises NotFound, UsageError when it is not held,
        RelayUnavailable, RelayAmbiguous, StoreUnavailable.
        """
        done = [await self._release(id, by, part) for part in await self._parts(id, reach)]
        released = next((each for each, _ in done if not each.delivered), done[-1][0])
        if released.delivered and label_ham:
            people = [recipient for _, recipients in done for recipient in recipients]
            only = people[0] if len(people) == 1 else ""
            await self._label(released.id, by, "" if reach.is_everybody else only)
        return released

    async def _parts(self, id: MessageId, reach: Reach) -> list[Reach]:
        """Whom the message is handed to in one go."""
        if not self._is_apart:
            return [reach]
        people = (await self._quarantine.held(id, reach)).summary.recipients
        if len(people) < 2:
            return [reach]
        return [Reach(addresses=frozenset({key})) for key in dict.fromkeys(map(address_key, people))]

    async def _release(self, id: MessageId, by: str, reach: Reach) -> tuple[Released, tuple[str, ...]]:
        """What became of the part within ``reach``, and whose it is."""
        claimed_at = self._clock.monotonic()
        held = await self._quarantine.claim_release(id, by, LEASE_SECONDS, reach)
        own = held.summary.id
        failpoint("release.claimed")
        try:
            reply = await self._send(held)
        except FilterdError:
            await self._put_back(own, by, claimed_at)
            self._events.released(own, by, delivered=False)
            raise
        failpoint("release.sent")
        released = Released(id=own, delivered=reply.is_positive, reply=reply)
        if released.delivered:
            await self._finish(own, by, delivered=True)
            self._metrics.releases.inc()
        else:
            await self._put_back(own, by, claimed_at)
        self._events.released(own, by, delivered=released.delivered)
        return released, held.summary.recipients

    async def _send(self, held: HeldMessage) -> Reply:
        if held.envelope.channel is Channel.SMS:
            await self._inbox.decided(held.envelope.id, forward=True)
            return _QUEUED
        line = release_header(held.raw, held.summary.id, self._stamp())
        return await self._relay.send(held.envelope, line + held.raw)

    async def _put_back(self, id: MessageId, by: str, claimed_at: float) -> None:
        if self._clock.monotonic() - claimed_at < LEASE_SECONDS:
            await self._finish(id, by, delivered=False)
        # Else the lease has ended, and somebody may be sending it under a new one: that one must stand.

    async def _finish(self, id: MessageId, by: str, *, delivered: bool) -> None:
        """Write down how it ended. What the next hop said holds even where that cannot be written."""
        try:
            await self._quarantine.finish_release(id, by, delivered=delivered)
        except (TemporaryError, UsageError) as exc:
            # The store is away: the lease will end and show it as held, which costs a duplicate at most. Or the
            # next hop took longer than the lease, and somebody else has released or deleted it meanwhile.
            self._events.record_failed(id, exc.detail)

    async def _label(self, id: MessageId, by: str, recipient: str) -> None:
        feedback = Feedback(
            message_id=id,
            label=Label.HAM,
            reporter=by,
            given_at=self._clock.now(),
            origin="release",
            recipient=recipient,
        )
        await write_down(feedback, self._ledger, self._metrics, self._events)

"""The background worker of the SMS channel: judges what the webhook could not, and forwards ham until it arrives.

Work is leased from the inbox, so several workers share it and a killed one loses nothing: the lease ends and the
next worker repeats the step. Forwarding is at least once, with an idempotency key per part.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace

from filterd.core.envelope import MessageId
from filterd.edges.webhooks.adapter import Adapter
from filterd.edges.webhooks.judge import SmsJudge
from filterd.errors import FilterdError, NotFound, RelayUnavailable, TemporaryError
from filterd.failpoints import failpoint
from filterd.feedback_ports import FeedbackLedger
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.ports import Clock, Forwarder, SmsInbox, SmsMessage, VerdictRow
from filterd.sms_settings import SmsSettings

_BATCH = 16
"""Messages in hand at once."""
_IDLE_SECONDS = 5.0
"""Between looks for work that became due by itself: retries, ended leases, old partial messages."""
_MAX_DELAY_SECONDS = 3600.0
_LEASE_MARGIN_SECONDS = 30.0
_GRACE_SECONDS = (0.0, 0.05, 0.2)
_MAX_CALLS_PER_LEASE = 6
"""A lease lasts for this many calls of the customer's URL that time out."""


class Outbox:
    """Works until it is cancelled."""

    def __init__(
        self,
        *,
        adapters: Mapping[str, Adapter],
        inbox: SmsInbox,
        ledger: FeedbackLedger,
        judge: SmsJudge,
        forwarder: Forwarder,
        clock: Clock,
        metrics: Metrics,
        events: Events,
        settings: SmsSettings,
    ) -> None:
        self._adapters = adapters
        self._inbox = inbox
        self._ledger = ledger
        self._judge = judge
        self._forwarder = forwarder
        self._clock = clock
        self._metrics = metrics
        self._events = events
        self._retry_seconds = settings.forward_retry_seconds
        self._work_seconds = settings.forward_timeout_seconds * _MAX_CALLS_PER_LEASE
        self._due = asyncio.Event()

    def wake(self) -> None:
        """There is work now."""
        self._due.set()

    async def run(self) -> None:
        """Work until cancelled. A step cut by the cancellation is repeated when its lease ends."""
        while True:
            self._due.clear()
            try:
                done = await self.work()
            except TemporaryError:
                done = 0  # the store is down, which it reports itself
            if done == 0:
                await self._rest()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._due.wait()
        except TimeoutError:
            pass

    async def work(self) -> int:
        """Take one batch of due work; how many messages it was. Raises StoreUnavailable."""
        lease_seconds = self._work_seconds + _LEASE_MARGIN_SECONDS
        batch = await self._inbox.claim_work(limit=_BATCH, lease_seconds=lease_seconds)
        async with asyncio.TaskGroup() as group:
            for message, is_to_forward in batch:
                group.create_task(self._step(message, is_to_forward=is_to_forward))
        return len(batch)

    async def _step(self, message: SmsMessage, *, is_to_forward: bool) -> None:
        """One message's next step; its failure is never another message's."""
        try:
            async with asyncio.timeout(self._work_seconds):
                await (self._forward(message) if is_to_forward else self._settle(message))
        except (TemporaryError, TimeoutError) as exc:
            await self._postpone(message, exc)
        except NotFound:
            return  # erased meanwhile
        except Exception as exc:  # noqa: BLE001  # the single catch-all of this worker: one message must not stop it
            self._metrics.session_errors.labels("http").inc()
            self._events.session_failed(message.id, exc)
            await self._postpone(message, exc)

    async def _settle(self, message: SmsMessage) -> None:
        adapter = self._adapters.get(message.parts[0].provider)
        has_customer = adapter is not None and bool(adapter.deliver_url)
        # The call this message came with is over, so nothing can be redirected any more.
        await self._judge.settle(message, has_customer=has_customer, is_redirected=False)
        self.wake()

    async def _forward(self, message: SmsMessage) -> None:
        adapter = self._adapters.get(message.parts[0].provider)
        if adapter is None or not adapter.deliver_url:
            raise RelayUnavailable("the provider or its deliver_url is turned off")
        verdict = await self._verdict_headers(message.id)
        for part in message.parts:
            request = adapter.forward(part, self._clock.now())
            key = ("idempotency-key", f"{message.id}-{part.part}")
            await self._forwarder.forward(replace(request, headers=(*request.headers, key, *verdict)))
        failpoint("sms.forwarded")
        await self._inbox.forwarded(message.id)

    async def _verdict_headers(self, id: MessageId) -> tuple[tuple[str, str], ...]:
        """What the customer may act on. A verdict that was not recorded is not made up."""
        headers: tuple[tuple[str, str], ...] = (("x-filterd-id", str(id)),)
        row = await self._verdict(id)
        if row is None:
            return headers
        headers += (("x-filterd-verdict", row.action.value),)
        if row.probability is not None:
            headers += (("x-filterd-probability", f"{row.probability:.3f}"),)
        return headers

    async def _verdict(self, id: MessageId) -> VerdictRow | None:
        """It is recorded just after its message is handed on, which may be a moment too late for who asks at once."""
        for seconds in _GRACE_SECONDS:
            await asyncio.sleep(seconds)
            with contextlib.suppress(NotFound, IndexError):
                return (await self._ledger.verdicts(id))[-1]
        return None

    async def _postpone(self, message: SmsMessage, error: BaseException) -> None:
        """Try again later: the delay doubles with the age of the message, up to one hour."""
        provider = message.parts[0].provider
        age = (self._clock.now() - message.parts[0].received_at).total_seconds()
        delay = min(_MAX_DELAY_SECONDS, max(self._retry_seconds, age))
        detail = error.detail if isinstance(error, FilterdError) else type(error).__name__
        self._metrics.sms_forward_failures.labels(provider).inc()
        self._events.forward_failed(message.id, provider, detail, delay)
        try:
            await self._inbox.retry_later(message.id, delay)
        except FilterdError:
            return  # the lease ends by itself, or the message was erased

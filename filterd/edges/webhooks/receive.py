"""The one way of a webhook call: verify, parse, store, judge, answer.

The signature is checked over the raw body and the configured URL before anything in the body is believed. The
provider hears 2xx only after the commit; from then on the message is ours, and what cannot be judged now is judged
later by the outbox worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from filterd.clock import mint_id
from filterd.core.envelope import MessageId
from filterd.core.verdict import OutcomeKind
from filterd.edges.webhooks.adapter import Adapter, Fetcher, WebhookReply
from filterd.edges.webhooks.judge import SmsJudge
from filterd.edges.webhooks.request import WebhookRequest
from filterd.errors import (
    CredentialsMissing,
    FetchNeeded,
    FilterdError,
    PayloadInvalid,
    SignatureInvalid,
    TemporaryError,
    Unsigned,
)
from filterd.failpoints import failpoint
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.ports import Arrival, Clock, SmsInbox, SmsMessage, SmsPart
from filterd.replies import http_status

_HEADERS = {503: (("retry-after", "30"),), 401: (("www-authenticate", 'Basic realm="webhooks", charset="UTF-8"'),)}
_MOST_FETCHES = 3
"""Tries to read a call: as it is, with the certificate, and with the confirmation."""
_RESULTS = {Arrival.COMPLETE: "accepted", Arrival.PARTIAL: "partial", Arrival.DUPLICATE: "duplicate"}


class Webhooks:
    """Receives the calls of every provider that is turned on."""

    def __init__(
        self,
        *,
        adapters: Mapping[str, Adapter],
        inbox: SmsInbox,
        judge: SmsJudge,
        wake_outbox: Callable[[], None],
        fetcher: Fetcher,
        clock: Clock,
        metrics: Metrics,
        events: Events,
    ) -> None:
        self._adapters = adapters
        self._inbox = inbox
        self._judge = judge
        self._wake_outbox = wake_outbox
        self._fetcher = fetcher
        self._clock = clock
        self._metrics = metrics
        self._events = events
        self._in_hand: set[MessageId] = set()
        """Being judged now: a provider that repeats itself meanwhile must not have it judged twice."""

    def adapter(self, provider: str) -> Adapter | None:
        """The adapter, if the provider is turned on."""
        return self._adapters.get(provider)

    async def receive(self, adapter: Adapter, request: WebhookRequest, deadline: float) -> WebhookReply:
        """The answer to one call, at the latest shortly after ``deadline`` (the event loop's time)."""
        try:
            now = self._clock.now()
            parts = await self._read(adapter, request, now, deadline)
            arrived = [await self._store(part, deadline) for part in parts]
        except FilterdError as exc:
            return self._refuse(adapter, exc)
        except Exception as exc:  # noqa: BLE001  # a bug must not lose the message: the provider keeps it and tries again
            self._metrics.session_errors.labels("http").inc()
            self._events.session_failed("", exc)
            return self._refuse(adapter, TemporaryError())
        failpoint("webhook.stored")
        # From here on the message is durable and ours: nothing may be answered but 2xx.
        is_ham = False
        if not arrived:
            self._metrics.webhooks.labels(adapter.name, "accepted").inc()
        for arrival, message, part in arrived:
            self._metrics.webhooks.labels(adapter.name, _RESULTS[arrival]).inc()
            if message is not None:
                is_ham = await self._settle(adapter, message, deadline)
            elif arrival is Arrival.DUPLICATE and adapter.is_redirecting:
                is_ham = await self._recall(part, deadline)
        return adapter.reply(is_ham=is_ham)

    async def _read(
        self, adapter: Adapter, request: WebhookRequest, now: datetime, deadline: float
    ) -> tuple[SmsPart, ...]:
        """The messages of a genuine call; its provider is asked for what it takes to know."""
        for _ in range(_MOST_FETCHES):
            try:
                adapter.verify(request, now)
                return adapter.parse(request, now)
            except FetchNeeded as needed:
                try:
                    async with asyncio.timeout_at(deadline):
                        await self._fetcher.fetch(needed.url, needed.is_usable)
                except TimeoutError as exc:
                    raise TemporaryError("the provider did not answer in time") from exc
        raise TemporaryError("what was fetched was not kept")

    async def _store(self, part: SmsPart, deadline: float) -> tuple[Arrival, SmsMessage | None, SmsPart]:
        try:
            async with asyncio.timeout_at(deadline):
                arrival, message = await self._inbox.receive(part, mint_id(self._clock))
        except TimeoutError as exc:
            raise TemporaryError("the inbox did not commit in time") from exc
        return arrival, message, part

    async def _settle(self, adapter: Adapter, message: SmsMessage, deadline: float) -> bool:
        """Judge now if there is time, else leave it to the worker; whether the message passes."""
        if message.id in self._in_hand:
            return False
        self._in_hand.add(message.id)
        try:
            async with asyncio.timeout_at(deadline):
                kind = await self._judge.settle(
                    message, has_customer=bool(adapter.deliver_url), is_redirected=adapter.is_redirecting
                )
        except (TimeoutError, FilterdError):
            return False  # its time in the inbox runs out, and the worker judges it
        except Exception as exc:  # noqa: BLE001  # a bug must not make the provider repeat what is already ours
            self._metrics.session_errors.labels("http").inc()
            self._events.session_failed(message.id, exc)
            return False
        finally:
            self._in_hand.discard(message.id)
            self._wake_outbox()
        return kind is OutcomeKind.RELAYED

    async def _recall(self, part: SmsPart, deadline: float) -> bool:
        """What was answered the first time a decided message came, so that a lost answer costs no message."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self._judge.would_pass(SmsMessage(id=mint_id(self._clock), parts=(part,)))
        except TimeoutError:
            return False

    def note_unread(self, adapter: Adapter, why: str) -> None:
        """Count and log a call that was refused before its body was read."""
        self._metrics.webhooks.labels(adapter.name, "bad_payload").inc()
        self._events.webhook_refused(adapter.name, why)

    def _refuse(self, adapter: Adapter, error: FilterdError) -> WebhookReply:
        self._metrics.webhooks.labels(adapter.name, _result(error)).inc()
        self._events.webhook_refused(adapter.name, f"{type(error).__name__}: {error.detail}")
        return refusal(http_status(error), error.public)


def _result(error: FilterdError) -> str:
    if isinstance(error, SignatureInvalid | Unsigned | CredentialsMissing):
        return "bad_signature"
    return "bad_payload" if isinstance(error, PayloadInvalid) else "unavailable"


def refusal(status: int, public: str) -> WebhookReply:
    """A refusal with a constant text; 503 says when to try again, 401 how to sign in."""
    return WebhookReply(status=status, body=f"{public}\n".encode(), headers=_HEADERS.get(status, ()))

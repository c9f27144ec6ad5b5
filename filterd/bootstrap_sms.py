"""Puts the SMS side together: providers' webhooks, the inbox, and the forwarding of what is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from filterd import __version__
from filterd.edges.webhooks.adapter import Adapter
from filterd.edges.webhooks.judge import SmsJudge
from filterd.edges.webhooks.outbox import Outbox
from filterd.edges.webhooks.providers import adapters_of
from filterd.edges.webhooks.receive import Webhooks
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.pipeline import Pipeline
from filterd.ports import Clock
from filterd.relay.fetched import Fetched
from filterd.relay.http import HttpForwarder
from filterd.sms_settings import SmsSettings
from filterd.store.sql import SqlStore


@dataclass(frozen=True, slots=True, kw_only=True)
class SmsParts:
    """What receives SMS and hands them on."""

    adapters: Mapping[str, Adapter]
    """By provider; empty where none is turned on."""
    webhooks: Webhooks
    outbox: Outbox


async def sms_parts(
    settings: SmsSettings,
    stack: AsyncExitStack,
    *,
    pipeline: Pipeline,
    store: SqlStore,
    clock: Clock,
    metrics: Metrics,
    events: Events,
) -> SmsParts:
    """The SMS side; ``stack`` ends what has a life of its own. Raises ConfigError."""
    user_agent = f"filterd/{__version__}"
    fetched = await stack.enter_async_context(
        Fetched(timeout_seconds=settings.forward_timeout_seconds, user_agent=user_agent)
    )
    adapters = adapters_of(settings, fetched.known)
    judge = SmsJudge(
        pipeline=pipeline,
        inbox=store,
        is_tagging_spam=settings.spam_delivery == "tag",
        retry_seconds=settings.forward_retry_seconds,
    )
    forwarder = await stack.enter_async_context(
        HttpForwarder(timeout_seconds=settings.forward_timeout_seconds, user_agent=user_agent)
    )
    outbox = Outbox(
        adapters=adapters,
        inbox=store,
        ledger=store,
        judge=judge,
        forwarder=forwarder,
        clock=clock,
        metrics=metrics,
        events=events,
        settings=settings,
    )
    webhooks = Webhooks(
        adapters=adapters,
        inbox=store,
        judge=judge,
        wake_outbox=outbox.wake,
        fetcher=fetched,
        clock=clock,
        metrics=metrics,
        events=events,
    )
    return SmsParts(adapters=adapters, webhooks=webhooks, outbox=outbox)

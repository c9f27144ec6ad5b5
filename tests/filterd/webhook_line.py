"""The SMS line on fakes, from a signed call to the customer's URL: shared by the tests of the webhooks."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from filterd.core.envelope import Channel
from filterd.core.headers import Stamp
from filterd.core.policy import Policy, Rule, Scope
from filterd.demo.webhook_client import signed_request
from filterd.edges.webhooks import generic
from filterd.edges.webhooks.adapter import WebhookReply
from filterd.edges.webhooks.judge import SmsJudge
from filterd.edges.webhooks.outbox import Outbox
from filterd.edges.webhooks.providers import adapters_of
from filterd.edges.webhooks.receive import Webhooks
from filterd.edges.webhooks.request import WebhookRequest
from filterd.errors import PayloadInvalid, TemporaryError
from filterd.fuzzy.memory import ReportedMemory
from filterd.inference.online import SiteWeights
from filterd.log import AddressMask, Events
from filterd.metrics import Metrics
from filterd.pipeline import Pipeline, Settings
from filterd.ports import ForwardRequest
from filterd.sms_settings import SmsSettings
from filterd.testing import FakeScanner, FixedClock, MemoryStore

BASE = "https://sms.example.com"
CUSTOMER = "https://customer.example.net/in"
WHSEC = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, exact").decode()
TOKEN = "0123456789abcdef0123456789abcdef"


class RecordingForwarder:
    """Keeps what it is given; raises ``failure`` instead, while it is set."""

    def __init__(self) -> None:
        self.sent: list[ForwardRequest] = []
        self.failure: Exception | None = None

    async def forward(self, request: ForwardRequest) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent.append(request)


class RecordingFetcher:
    """Answers what ``answers`` has for a URL, an error included; what it has not does not exist."""

    def __init__(self) -> None:
        self.known: dict[str, bytes] = {}
        self.answers: dict[str, bytes | Exception] = {}
        self.asked: list[str] = []

    async def fetch(self, url: str, is_usable: Callable[[bytes], bool]) -> None:
        self.asked.append(url)
        answer = self.answers.get(url, PayloadInvalid())
        if isinstance(answer, Exception):
            raise answer
        if not is_usable(answer):
            raise TemporaryError
        self.known[url] = answer


@dataclass
class Line:
    """The SMS line on fakes, from the call to the customer's URL."""

    sms: dict[str, Any] = field(default_factory=dict)
    rule: Rule = field(default_factory=Rule)
    scan_down: str = "ladder"
    clock: FixedClock = field(default_factory=FixedClock)
    scanner: FakeScanner = field(default_factory=FakeScanner)
    forwarder: RecordingForwarder = field(default_factory=RecordingForwarder)
    fetcher: RecordingFetcher = field(default_factory=RecordingFetcher)
    metrics: Metrics = field(default_factory=lambda: Metrics(CollectorRegistry()))
    store: Any = None
    """A ``SqlStore``; a ``MemoryStore`` where none is given."""

    def __post_init__(self) -> None:
        keys = {
            "twilio": {"auth_token": TOKEN, "deliver_url": CUSTOMER},
            "generic": {"secret": WHSEC, "deliver_url": CUSTOMER},
            "telnyx": {},
        }
        sections = {name: keys[name] | self.sms.pop(name, {}) for name in keys}
        self.settings = SmsSettings.model_validate({"public_base_url": BASE, **sections, **self.sms})
        self.store = self.store or MemoryStore(self.clock)
        self.log = io.StringIO()
        renderers: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        logger = structlog.wrap_logger(structlog.PrintLogger(self.log), processors=renderers)
        events = Events(logger, AddressMask(b"k"))
        policy = Policy(default=Scope(rule=self.rule))
        pipeline = Pipeline(
            scanner=self.scanner,
            store=self.store,
            clock=self.clock,
            metrics=self.metrics,
            events=events,
            memory=ReportedMemory(),
            correction=SiteWeights(),
            settings=Settings(
                policies={Channel.SMS: policy},
                stamp=Stamp(hostname="gw", release_key=b"k"),
                scan_down=self.scan_down,
            ),
        )
        judge = SmsJudge(
            pipeline=pipeline,
            inbox=self.store,
            is_tagging_spam=self.settings.spam_delivery == "tag",
            retry_seconds=self.settings.forward_retry_seconds,
        )
        adapters = adapters_of(self.settings, self.fetcher.known)
        self.outbox = Outbox(
            adapters=adapters,
            inbox=self.store,
            ledger=self.store,
            judge=judge,
            forwarder=self.forwarder,
            clock=self.clock,
            metrics=self.metrics,
            events=events,
            settings=self.settings,
        )
        self.webhooks = Webhooks(
            adapters=adapters,
            inbox=self.store,
            judge=judge,
            wake_outbox=self.outbox.wake,
            fetcher=self.fetcher,
            clock=self.clock,
            metrics=self.metrics,
            events=events,
        )

    async def call(self, request: WebhookRequest, seconds: float = 10.0) -> WebhookReply:
        adapter = self.webhooks.adapter(request.url.partition("?")[0].rpartition("/")[2])
        assert adapter is not None
        return await self.webhooks.receive(adapter, request, asyncio.get_running_loop().time() + seconds)

    def sms_call(self, provider: str, text: str, id: str = "id-1") -> WebhookRequest:
        made = signed_request(
            provider,
            base_url=BASE,
            secret={"twilio": TOKEN, "generic": WHSEC}[provider],
            id=id,
            sender="+15005550001",
            recipient="+15005550006",
            text=text,
            now=self.clock.now(),
        )
        return WebhookRequest(
            method="POST", url=made.url, query="", headers=tuple(made.headers.items()), body=made.body
        )

    def part_call(self, part: int, parts: int, text: str, reference: str = "r") -> WebhookRequest:
        fields = {"id": f"{reference}-{part}", "from": "+15005550001", "to": "+15005550006", "text": text}
        body = json.dumps(fields | {"reference": reference, "part": part, "parts": parts}).encode()
        headers = generic.signed_headers(generic.key_of(WHSEC), f"{reference}-{part}", self.clock.now(), body)
        return WebhookRequest(
            method="POST",
            url=f"{BASE}/webhooks/generic",
            query="",
            headers=(("content-type", "application/json"), *headers),
            body=body,
        )

    def counted(self, provider: str, result: str) -> float:
        return float(self.metrics.webhooks.labels(provider, result)._value.get())

    async def work_all(self) -> None:
        """Do what is due now, and what that makes due."""
        while await self.outbox.work():
            pass


def header(request: ForwardRequest, name: str) -> str:
    return dict(request.headers).get(name, "")

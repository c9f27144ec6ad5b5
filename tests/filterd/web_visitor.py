"""The pages in this process, and people who look at them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2
from argon2 import PasswordHasher
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from filterd.account_ports import Account
from filterd.actions import Actions
from filterd.checking import Checking
from filterd.core.access import Role
from filterd.core.envelope import Channel
from filterd.core.headers import Stamp
from filterd.core.mail_view import MailView
from filterd.core.networks import Networks
from filterd.core.policy import Policy
from filterd.fuzzy.memory import ReportedMemory
from filterd.inference.online import SiteWeights
from filterd.inference.registry import Registry
from filterd.log import AddressMask, Events, get_logger
from filterd.metrics import Metrics
from filterd.pipeline import Pipeline, Settings
from filterd.ports import Clock
from filterd.promotion import Promoter
from filterd.quality import QualityEstimates
from filterd.release import Releaser
from filterd.rule_desk import RuleDesk
from filterd.rule_ports import RuleOrigin
from filterd.testing import FakeScanner, FixedClock, MemoryStore, RecordingRelay
from filterd.ticket_desk import TicketDesk
from filterd.traffic import TrafficBooks
from filterd.undoing import Undoing
from filterd.web.api.parts import ApiParts
from filterd.web.app import build_app
from filterd.web.figures import FigureParts
from filterd.web.model_parts import ModelParts
from filterd.web.parts import WebParts
from filterd.web.passwords import Passwords
from filterd.web.render import Renderer
from filterd.web.sign_in import SignIn
from filterd.web_settings import WebSettings

FAST = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse battery"
_TOKEN = re.compile(r'name="token" value="([0-9a-f]{64})"')


class PlainReader:
    """Reads a mail without looking for parts."""

    async def read_mail(self, raw: bytes) -> MailView:
        text = raw.partition(b"\r\n\r\n")[2].decode()
        return MailView(text=text, html="<p>safe</p>")


@dataclass
class Visitor:
    """Somebody with a browser of their own."""

    client: httpx2.AsyncClient

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        return await self.client.get(path, **more)

    async def post(self, path: str, fields: dict[str, Any] | None = None, *, at: str = "/account") -> httpx2.Response:
        """Send a form as a page of ours has it: with the token that the page ``at`` carries."""
        page = await self.client.get(at)
        found = _TOKEN.search(page.text)
        token = {"token": found.group(1)} if found else {}
        return await self.client.post(path, data={**token, **(fields or {})})

    async def sign_in(self, name: str, password: str = PASSWORD, **more: Any) -> httpx2.Response:
        return await self.client.post("/sign-in", data={"name": name, "password": password, "next": "/", **more})


@dataclass
class House:
    """The pages and everything behind them."""

    app: Starlette
    store: MemoryStore
    relay: RecordingRelay
    clock: FixedClock
    metrics: Metrics
    parts: WebParts
    visitors: list[Visitor] = field(default_factory=list)

    def stranger(self, base_url: str = "http://filter.local") -> Visitor:
        """Somebody who has not signed in."""
        transport = httpx2.ASGITransport(app=self.app)
        visitor = Visitor(httpx2.AsyncClient(transport=transport, base_url=base_url))
        self.visitors.append(visitor)
        return visitor

    async def person(self, role: Role, name: str = "", **more: Any) -> Visitor:
        """Somebody who has signed in."""
        name = name or f"{role.value}@example.org"
        account = Account(name=name, role=role, password_hash=FAST.hash(PASSWORD), created_at=self.clock.now(), **more)
        await self.store.accounts.add_account(account, "test")
        visitor = self.stranger()
        answer = await visitor.sign_in(name)
        assert answer.status_code == 303, answer.text
        return visitor

    async def close(self) -> None:
        for visitor in self.visitors:
            await visitor.client.aclose()


def no_models(store: MemoryStore) -> ModelParts:
    """A registry with nothing in it."""
    registry = Registry(Path("/nonexistent/models"), Path("/nonexistent/package"))
    promoter = Promoter(lambda: registry, store)
    return ModelParts(registry=lambda: registry, pinned=dict, serving=dict, promoter=promoter, books=store)


def some_figures(store: MemoryStore) -> FigureParts:
    """Figures of what is in the store."""
    return FigureParts(
        traffic=TrafficBooks(store.review, store.clock),
        estimates=QualityEstimates(store.quality, models=dict, clock=store.clock),
        questions=store.quality,
        probes={"scanners": lambda: True, "store": lambda: store.failure is None},
    )


def a_pipeline(store: MemoryStore, scanner: FakeScanner, metrics: Metrics) -> Pipeline:
    """The line with nothing configured."""
    return Pipeline(
        scanner=scanner,
        store=store,
        clock=store.clock,
        metrics=metrics,
        events=Events(get_logger(), AddressMask(b"key")),
        memory=ReportedMemory(),
        correction=SiteWeights(),
        settings=Settings(
            policies=MappingProxyType(dict.fromkeys(Channel, Policy())),
            stamp=Stamp(hostname="mx.example.org", release_key=b"key"),
        ),
    )


def a_checking(pipeline: Pipeline) -> Checking:
    """What judges messages that nobody has sent; the largest has 100,000 bytes."""
    return Checking(pipeline.judge, clock=FixedClock(), most_bytes=100_000)


def a_house(
    settings: WebSettings | None = None,
    configure: Callable[[WebParts], WebParts] = lambda parts: parts,
) -> House:
    """The pages on a store in memory."""
    clock, relay = FixedClock(), RecordingRelay()
    store = MemoryStore(clock)
    metrics = Metrics(CollectorRegistry())
    events = Events(get_logger(), AddressMask(b"key"))
    settings = settings or WebSettings(public_url="http://filter.local")
    releaser = Releaser(
        quarantine=store,
        ledger=store,
        inbox=store,
        relay=relay,
        stamp=lambda: Stamp(hostname="mx.example.org", release_key=b"key"),
        clock=clock,
        metrics=metrics,
        events=events,
    )
    passwords, accounts = Passwords(FAST), store.accounts
    shared: dict[str, Any] = {
        "tokens": store,
        "quarantine": store,
        "ledger": store,
        "releaser": releaser,
        "clock": clock,
        "metrics": metrics,
        "events": events,
    }
    undoing = Undoing(store.deeds, lambda: Registry(Path("/nowhere"), Path("/nowhere")), events=events)
    desk = RuleDesk(store.rules, origin=RuleOrigin.WEB, clock=clock, events=events)
    actions = some_actions(store, desk, releaser, clock, metrics, events)
    parts = configure(
        WebParts(
            settings=settings,
            proxies=Networks(settings.proxy_networks),
            renderer=Renderer(),
            sign_in=SignIn(accounts, passwords=passwords, clock=clock, key=b"key"),
            passwords=passwords,
            accounts=accounts,
            review=store.review,
            reader=PlainReader(),
            examples=store,
            rules=store.rules,
            rule_desk=desk,
            bin=store.bin,
            undoing=undoing,
            models=no_models(store),
            figures=some_figures(store),
            actions=actions,
            tickets=TicketDesk(store.digests, accounts, store, actions, clock=clock, events=events),
            **shared,
        )
    )
    app = build_app(api_parts(parts, store), parts)
    return House(app, store, relay, clock, metrics, parts)


def some_actions(
    store: MemoryStore, rules: RuleDesk, releaser: Releaser, clock: Clock, metrics: Metrics, events: Events
) -> Actions:
    """What people do with messages of ``store``."""
    return Actions(
        quarantine=store,
        review=store.review,
        ledger=store,
        rules=rules,
        releaser=releaser,
        clock=clock,
        metrics=metrics,
        events=events,
    )


def api_parts(parts: WebParts, store: MemoryStore) -> ApiParts:
    """What the API works on beside these pages."""
    desk = RuleDesk(store.rules, origin=RuleOrigin.API, clock=parts.clock, events=parts.events)
    return ApiParts(
        quarantine=store,
        ledger=store,
        examples=store,
        tokens=store,
        accounts=store.accounts,
        passwords=parts.passwords,
        reader=parts.reader,
        questions=store.quality,
        rules=store.rules,
        undoing=parts.undoing,
        models=parts.models,
        figures=parts.figures,
        review=parts.review,
        bin=parts.bin,
        actions=some_actions(store, desk, parts.releaser, parts.clock, parts.metrics, parts.events),
        checking=a_checking(a_pipeline(store, FakeScanner(), parts.metrics)),
        releaser=parts.releaser,
        clock=parts.clock,
        metrics=parts.metrics,
        events=parts.events,
    )


def routes_of(app: Starlette) -> Sequence[Any]:
    """Every route of the pages."""
    found = app.routes[-1].app._app.routes  # type: ignore[attr-defined]  # below the mount at / and its limit
    assert found
    return found  # type: ignore[no-any-return]  # as above

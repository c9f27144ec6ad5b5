"""A filter with fakes around it that clients only ask, and the edges they ask through."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import MappingProxyType

import structlog
from prometheus_client import CollectorRegistry

from filterd.adviser import Adviser
from filterd.core.envelope import Channel
from filterd.core.headers import Stamp
from filterd.core.policy import Policy
from filterd.core.verdict import Action, Label
from filterd.edge_settings import SpamdSettings
from filterd.edges.limits import Budget
from filterd.edges.spamd import SpamdEdge
from filterd.edges.spamd_session import SpamdDesk
from filterd.fuzzy.memory import ReportedMemory
from filterd.inference.online import SiteWeights
from filterd.labeller import Labeller
from filterd.log import AddressMask, Events
from filterd.metrics import Metrics
from filterd.pipeline import Pipeline, Settings
from filterd.testing import FakeScanner, FixedClock, MemoryStore

SPAM = b"From: eve@example.com\r\nSubject: win\r\n\r\nSPAM\r\n"
HAM = b"From: ann@example.org\r\nSubject: agenda\r\n\r\nMonday\r\n"
MOST_BYTES = 10_000


class World:
    """A pipeline, and an adviser of one origin in front of it."""

    def __init__(self, origin: str = "spamd", policy: Policy | None = None) -> None:
        self.scanner = FakeScanner()
        self.clock = FixedClock()
        self.store = MemoryStore(self.clock)
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.log = structlog.testing.LogCapture()
        self.events = Events(structlog.wrap_logger(None, processors=[self.log]), AddressMask(b"k"))
        self.stamp = Stamp(hostname="filter.example", release_key=b"release")
        self.pipeline = Pipeline(
            scanner=self.scanner,
            store=self.store,
            clock=self.clock,
            metrics=self.metrics,
            events=self.events,
            memory=ReportedMemory(),
            correction=SiteWeights(),
            settings=Settings(
                policies=MappingProxyType(dict.fromkeys(Channel, policy or Policy())), stamp=self.stamp, audit_ratio=1.0
            ),
        )
        self.labeller = Labeller(self.store, origin=origin, clock=self.clock, metrics=self.metrics, events=self.events)
        self.adviser = Adviser(self.pipeline, self.labeller, self.store, clock=self.clock, most_bytes=MOST_BYTES)
        self.budget = Budget(1_000_000)
        self.port = 0
        """Of the spamd edge."""

    def standing(self) -> list[tuple[str, Label, str, str]]:
        """Labels that stand: message, label, reporter, origin."""
        return [(f.message_id, f.label, f.reporter, f.origin) for f in self.store.ledger.standing()]

    def metric(self, name: str, **labels: str) -> float:
        """A figure; 0 where there is none."""
        return self.registry.get_sample_value(name, labels) or 0.0

    async def counts(self) -> Counter[Action]:
        """Messages recorded."""
        return Counter(row.action for row in await self.store.recent())

    @asynccontextmanager
    async def spamd(
        self, settings: SpamdSettings | None = None, *, budget_bytes: int = 1_000_000
    ) -> AsyncIterator[Callable[..., asyncio.Future[bytes]]]:
        """What sends octets to a spamd edge and returns all it answers."""
        self.budget = Budget(budget_bytes)
        edge = SpamdEdge(
            settings or SpamdSettings(),
            SpamdDesk(adviser=self.adviser, labeller=self.labeller, stamp=self.stamp),
            budget=self.budget,
            metrics=self.metrics,
            events=self.events,
        )
        sock = socket.create_server(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        await edge.serve(sock)

        async def ask(request: bytes, *, is_closing: bool = True) -> bytes:
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            try:
                writer.write(request)
                if is_closing:
                    writer.write_eof()
                return await reader.read()
            finally:
                writer.close()

        try:
            yield lambda *args, **kwargs: asyncio.ensure_future(ask(*args, **kwargs))
        finally:
            assert await edge.drain(5) == 0
            await asyncio.sleep(0)

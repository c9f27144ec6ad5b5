"""One worker made of fewer parts: ``python -m tests.bench.rung RUNG PORT NEXT_HOP FOLDER``, until it is ended.

``RUNGS`` says what each adds to the one before. Parts are put together as ``filterd.bootstrap`` does it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import MappingProxyType

import uvloop
from prometheus_client import CollectorRegistry

from filterd import log
from filterd.clock import SystemClock
from filterd.core.envelope import Channel, Envelope, Recipient
from filterd.core.headers import Stamp
from filterd.core.smtp_reply import Offers
from filterd.core.verdict import Reply, Scan, Verdict
from filterd.edges.smtp import SmtpEdge
from filterd.errors import RelayAmbiguous
from filterd.fuzzy.memory import ReportedMemory
from filterd.inference.online import SiteWeights
from filterd.inference.registry import packaged_models
from filterd.metrics import Metrics
from filterd.pipeline import Pipeline, Processed, Settings
from filterd.policies import policies_of
from filterd.ports import MailTransaction, NextHop, Relay
from filterd.relay.smtp_client import SmtpRelay
from filterd.scan.pool import PoolSettings, ScannerPool
from filterd.settings import Config, PolicySettings, SmtpSettings, StoreSettings
from filterd.store.sql import open_store
from filterd.testing.memory import MemoryStore
from filterd.verdict_buffer import VerdictBuffer
from tests.bench.stages import FOUND

RUNGS: Mapping[str, str] = MappingProxyType(
    {
        "sink": "the SMTP edge answers by itself",
        "+ relay": "recipients and message go to the next hop as they came",
        "+ judge": "decision, headers, log line and metrics, of a scan that is always the same",
        "+ scanner": "the message to a process and back",
        "+ parse": "that process parses it",
        "+ features": "words, side features, hashes",
        "+ ONNX": "the network and the fingerprint",
        "+ store": "a verdict row per message in SQLite",
    }
)
"""Name -> what it adds."""
_OK = Reply(code=250, enhanced="2.0.0", lines=("Ok",))
_MODULES = {
    "+ scanner": "tests.bench.stages.nothing",
    "+ parse": "tests.bench.stages.parse",
    "+ features": "tests.bench.stages.features",
}


class _Nowhere:
    """A next hop that takes everything and keeps nothing."""

    def open(self, _envelope: Envelope) -> MailTransaction:
        return self

    async def offers(self) -> Offers | None:
        return None

    async def rcpt(self, _recipient: Recipient) -> Reply:
        return _OK

    async def send(self, _envelope: Envelope, _raw: bytes) -> Reply:
        return _OK

    async def send_each(self, envelope: Envelope, _raw: bytes) -> list[Reply | RelayAmbiguous]:
        return [_OK for _ in envelope.recipients]

    def abort(self) -> None:
        pass


class _SameAnswer:
    """A scanner in this process that does not look."""

    async def scan(self, _envelope: Envelope, _raw: bytes) -> Scan:
        return FOUND


class _NoBooks(MemoryStore):
    """A store that forgets verdicts."""

    async def record(self, *verdicts: Verdict) -> None:
        del verdicts


async def _passed_on(envelope: Envelope, raw: bytes, relay: Relay) -> Processed:
    return Processed(verdicts=(), reply=await relay.send(envelope, raw))


async def _pipeline(height: int, config: Config, stack: AsyncExitStack, parts: tuple[Metrics, log.Events]) -> Pipeline:
    metrics, events = parts
    names = list(RUNGS)
    clock = SystemClock()
    scanner: ScannerPool | _SameAnswer = _SameAnswer()
    if height >= names.index("+ scanner"):
        folders = {Channel.EMAIL: packaged_models() / Channel.EMAIL.value}
        module = _MODULES.get(names[height])
        settings = PoolSettings(module=module) if module else PoolSettings()
        scanner = await stack.enter_async_context(
            ScannerPool(locate=lambda: folders, settings=settings, events=events, metrics=metrics)
        )
    store: _NoBooks | VerdictBuffer = _NoBooks()
    if height >= names.index("+ store"):
        kept = await stack.enter_async_context(open_store(config, clock=clock))
        store = await stack.enter_async_context(VerdictBuffer(kept, metrics=metrics, events=events))
    settled = Settings(policies=policies_of(config), stamp=Stamp(hostname="filter.example", release_key=b"k" * 32))
    return Pipeline(
        scanner=scanner,
        store=store,
        clock=clock,
        metrics=metrics,
        events=events,
        settings=settled,
        memory=ReportedMemory(),
        correction=SiteWeights(),
    )


async def _serve(rung: str, port: int, next_hop: int, folder: Path) -> None:
    height = list(RUNGS).index(rung)
    smtp = SmtpSettings(listen=(f"127.0.0.1:{port}",), next_hop=f"127.0.0.1:{next_hop}")
    config = Config(
        smtp=smtp,
        policy=PolicySettings(tag_at="normal", quarantine_at="off"),
        store=StoreSettings(url=f"sqlite:///{folder / 'filterd.db'}"),
    )
    log.configure("json", "info", worker="w0")
    metrics, events = Metrics(CollectorRegistry()), log.Events(log.get_logger(), log.AddressMask(b"key"))
    async with AsyncExitStack() as stack:
        hop: NextHop = _Nowhere() if rung == "sink" else SmtpRelay(smtp, metrics=metrics, hostname="filter.example")
        process = _passed_on
        if height >= list(RUNGS).index("+ judge"):
            process = (await _pipeline(height, config, stack, (metrics, events))).process
        edge = SmtpEdge(
            smtp,
            process=process,
            next_hop=hop,
            clock=SystemClock(),
            metrics=metrics,
            events=events,
            hostname="filter.example",
        )
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.setblocking(False)
        await edge.serve(sock)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serve until standard input closes."""
    rung, port, next_hop, folder = sys.argv[1:]
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
    uvloop.run(_serve(rung, int(port), int(next_hop), Path(folder)))


if __name__ == "__main__":
    main()

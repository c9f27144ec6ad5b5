"""Hostile messages through a real scanner process with the shipped e-mail model: how long, and what came of each."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import median

import structlog
from prometheus_client import CollectorRegistry

from filterd.core.envelope import Channel
from filterd.errors import Unscannable
from filterd.inference.registry import packaged_models
from filterd.log import AddressMask, Events
from filterd.metrics import Metrics
from filterd.scan.pool import PoolSettings, ScannerPool
from filterd.testing import an_envelope
from tests.hostile.shapes import Hostile
from tests.servers.processes import running_seconds

MOST_SECONDS = 2.0
MOST_BYTES = 512 << 20
ATTEMPTS = 3
"""The best of so many counts: on a busy machine even processor time is longer."""


@dataclass(slots=True)
class Findings:
    """What became of a run of messages."""

    scored: int = 0
    unscannable: dict[str, int] = field(default_factory=dict)
    """Detail -> messages."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Message name -> seconds of processor time of the scanner: what it takes where nothing else runs."""
    waited: float = 0.0
    """The longest any message took by the clock."""
    slow: dict[str, float] = field(default_factory=dict)
    """Those that took longer than allowed, every time."""
    lost: dict[str, str] = field(default_factory=dict)
    """Those that cost a scanner process, and how."""

    def summary(self) -> str:
        """A few lines for whoever ran it."""
        took = sorted(self.seconds.items(), key=lambda item: item[1])
        worst = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took[-5:])
        counts = "".join(f"\n  {count:5} {detail}" for detail, count in sorted(self.unscannable.items()))
        return (
            f"{len(took)} messages: {self.scored} scored, {len(took) - self.scored} unscannable, "
            f"{len(self.lost)} scanners lost; median {median(self.seconds.values()):.3f} s, worst {worst}, "
            f"longest by the clock {self.waited:.2f} s{counts}"
        )


@asynccontextmanager
async def scanner(memory_bytes: int = MOST_BYTES) -> AsyncIterator[tuple[ScannerPool, CollectorRegistry]]:
    """One scanner process of the shipped model, and the registry of its metrics."""
    folders = {Channel.EMAIL: packaged_models() / Channel.EMAIL.value}
    registry = CollectorRegistry()
    pool = ScannerPool(
        locate=lambda: folders,
        settings=PoolSettings(memory_bytes=memory_bytes),
        events=Events(structlog.wrap_logger(None, processors=[structlog.testing.LogCapture()]), AddressMask(b"k")),
        metrics=Metrics(registry),
    )
    async with pool:
        yield pool, registry


async def scan_all(messages: Iterable[Hostile]) -> Findings:
    """Every message through one scanner, one after the other."""
    found = Findings()
    async with scanner() as (pool, registry):
        for message in messages:
            await _scan(pool, registry, message, found)
    return found


async def _scan(pool: ScannerPool, registry: CollectorRegistry, message: Hostile, found: Findings) -> None:
    took = []
    for _ in range(ATTEMPTS):
        before = _replaced(registry)
        started, used = time.monotonic(), _processor_seconds(pool)
        detail = await _outcome(pool, message)
        found.waited = max(found.waited, time.monotonic() - started)
        took.append(_processor_seconds(pool) - used)
        if _replaced(registry) > before:
            found.lost[message.name] = detail
            break
        if took[-1] <= MOST_SECONDS:
            break
    found.seconds[message.name] = min(took)
    if min(took) > MOST_SECONDS:
        found.slow[message.name] = min(took)
    if detail:
        found.unscannable[detail] = found.unscannable.get(detail, 0) + 1
    else:
        found.scored += 1


async def _outcome(pool: ScannerPool, message: Hostile) -> str:
    """Why the message has no probability; empty where it has one."""
    try:
        scan = await pool.scan(an_envelope(), message.raw)
    except Unscannable as exc:
        return exc.detail
    assert 0 <= scan.probability <= 1
    return ""


def _processor_seconds(pool: ScannerPool) -> float:
    """Processor time of the scanner so far; 0 where it has just been replaced."""
    scanner = pool._slots[0].scanner
    return 0.0 if scanner is None else running_seconds(scanner.pid)


def _replaced(registry: CollectorRegistry) -> float:
    return registry.get_sample_value("filterd_scanners_replaced_total") or 0.0

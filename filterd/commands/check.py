"""``filterd check``: score messages in files through exactly what the daemon runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filterd.commands.config import ConfigOption
from filterd.core.envelope import Channel

if TYPE_CHECKING:
    from filterd.core.policy import Policy
    from filterd.core.verdict import Decision
    from filterd.scan.pool import ScannerPool
    from filterd.settings import Config

_STDIN = "-"
_AHEAD = 4
"""Messages handed over before the first is answered, per scanner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """One message and where it was found."""

    path: str
    raw: bytes


@dataclass(slots=True, kw_only=True)
class _Missing:
    """Counts paths that could not be read, after naming each."""

    count: int = field(default=0)

    def note(self, path: str, why: str) -> None:
        self.count += 1
        typer.echo(f"filterd: {path}: {why}", err=True)


def run(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, folders, or - for standard input.")],
    config: ConfigOption = None,
    channel: Annotated[Channel, typer.Option(help="What the messages are.")] = Channel.EMAIL,
    is_json: Annotated[bool, typer.Option("--json", help="One JSON object per message.")] = False,
    jobs: Annotated[int, typer.Option(min=0, max=256, help="Scanner processes; 0 means one per core.")] = 0,
    bundle: Annotated[Path | None, typer.Option(help="Folder of the bundle to use instead.")] = None,
    has_lines: Annotated[bool, typer.Option("--lines", help="One message per line instead of per file.")] = False,
) -> None:
    """Score messages and say what would be done with them. Exit 2 if a path cannot be read."""
    import asyncio
    import os

    import uvloop

    from filterd import config as configuration

    loaded = configuration.load(configuration.find(config, os.environ), os.environ)
    missing = _Missing()
    work = _check(
        loaded.config,
        channel,
        _items(paths, missing, has_lines=has_lines),
        jobs=jobs or os.cpu_count() or 1,
        bundle=bundle,
        is_json=is_json,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)
    if missing.count:
        raise typer.Exit(2)


async def _check(
    config: Config, channel: Channel, items: Iterator[_Item], *, jobs: int, bundle: Path | None, is_json: bool
) -> None:
    import sys

    from filterd.errors import BundleError
    from filterd.policies import policies_of

    policy = policies_of(config)[channel]
    async with _pool(config, channel, jobs=jobs, bundle=bundle) as pool:
        if channel not in pool.models:
            raise BundleError(pool.trouble)
        # Not typer.echo, which flushes every line: a tenth of the time of a run over SMS.
        if not is_json:
            sys.stdout.write(f"{'p(spam)':>8}  {'action':10}  {'reason':11}  path\n")
        async for item, decision in _judged(items, channel, policy, pool, jobs * _AHEAD):
            line = _as_json(item, channel, decision) if is_json else _as_row(item, decision)
            sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _pool(config: Config, channel: Channel, *, jobs: int, bundle: Path | None) -> ScannerPool:
    from dataclasses import replace

    from filterd import log
    from filterd.inference.registry import Registry, packaged_models
    from filterd.metrics import Metrics
    from filterd.scan.pool import PoolSettings, ScannerPool

    log.configure(config.server.log_format, "error", process="check")
    directory = Path(config.models.directory or Path(config.server.state_dir) / "models")
    registry = Registry(directory, packaged_models())
    pinned = str(bundle or getattr(config.models, channel.value))
    return ScannerPool(
        locate=lambda: {channel: registry.locate({channel: pinned})[channel]},
        settings=replace(
            PoolSettings.of(config.scan, trusted_authserv_ids=config.smtp.trusted_authserv_ids),
            scanners=jobs,
            queue_per_scanner=_AHEAD,
        ),
        events=log.Events(log.get_logger(), log.AddressMask(b"")),
        metrics=Metrics.unread(),
    )


async def _judged(
    items: Iterator[_Item], channel: Channel, policy: Policy, pool: ScannerPool, ahead: int
) -> AsyncIterator[tuple[_Item, Decision]]:
    """Each message and its decision, in the order of ``items``; at most ``ahead`` are in memory."""
    import asyncio
    from collections import deque

    pending: deque[tuple[_Item, asyncio.Task[Decision]]] = deque()
    for item in items:
        pending.append((item, asyncio.create_task(_judge(item, channel, policy, pool))))
        if len(pending) >= ahead:
            first, task = pending.popleft()
            yield first, await task
    for item, task in pending:
        yield item, await task


async def _judge(item: _Item, channel: Channel, policy: Policy, pool: ScannerPool) -> Decision:
    from datetime import UTC, datetime

    from filterd.core.envelope import Envelope, MessageId, Recipient
    from filterd.core.policy import decide
    from filterd.core.verdict import Scan, ScanFailure
    from filterd.errors import ScanDown, Unscannable

    recipient = Recipient(address="")
    envelope = Envelope(
        id=MessageId(""), channel=channel, sender="", recipients=(recipient,), received_at=datetime.now(UTC)
    )
    scan: Scan | ScanFailure
    try:
        scan = await pool.scan(envelope, item.raw)
    except Unscannable:
        scan = ScanFailure.UNSCANNABLE
    except ScanDown:
        scan = ScanFailure.SCAN_DOWN
    return decide(scan, envelope, recipient, policy)


def _items(paths: list[str], missing: _Missing, *, has_lines: bool) -> Iterator[_Item]:
    for path, raw in _files(paths, missing):
        if not has_lines:
            yield _Item(path=path, raw=raw)
            continue
        for number, line in enumerate(raw.split(b"\n"), 1):
            if line.strip():
                yield _Item(path=f"{path}:{number}", raw=line.rstrip(b"\r"))


def _files(paths: list[str], missing: _Missing) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file, in the order given, folders in the order of their names."""
    import sys

    for path in paths:
        if path == _STDIN:
            yield path, sys.stdin.buffer.read()
            continue
        found = sorted(p for p in Path(path).rglob("*") if p.is_file()) if Path(path).is_dir() else [Path(path)]
        for file in found:
            try:
                raw = file.read_bytes()
            except FileNotFoundError:
                missing.note(str(file), "no such file")
            except OSError as exc:
                missing.note(str(file), f"cannot be read: {exc.strerror}")
            else:
                yield str(file), raw


def _as_json(item: _Item, channel: Channel, decision: Decision) -> str:
    import json

    scan = decision.scan
    return json.dumps(
        {
            "path": item.path,
            "channel": channel.value,
            "probability": scan.probability if scan else None,
            "logit": scan.logit if scan else None,
            "action": decision.action.value,
            "reason": decision.reason.value,
            "model": scan.model if scan else None,
        }
    )


def _as_row(item: _Item, decision: Decision) -> str:
    probability = f"{decision.scan.probability:8.4f}" if decision.scan else f"{'-':>8}"
    return f"{probability}  {decision.action.value:10}  {decision.reason.value:11}  {item.path}"

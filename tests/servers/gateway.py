"""The real daemon with small models, for tests: configuration, start, log, admin port, stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filterd.core.envelope import Channel
from filterd.demo.embedded import Ports
from tests.filterd.tiny_bundle import write_bundle
from tests.servers import processes
from tests.servers.log import events_in

LOOPBACK = "127.0.0.1"
PATIENCE_SECONDS = 60.0
"""Longest wait for anything; a busy machine takes its time."""


@dataclass(slots=True, kw_only=True)
class Gateway:
    """One running daemon."""

    root: Path
    ports: Ports
    process: subprocess.Popen[bytes]
    config: Path
    address: str = LOOPBACK
    _answers: dict[str, Any] = field(default_factory=dict)

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """The lines of the log so far, or those of one event."""
        return events_in(self.root / "log", name)

    def admin(self, page: str) -> tuple[int, str]:
        """Status and body of a page of the admin port; status 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:{self.ports.admin}/{page}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            return exc.code, exc.read().decode()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return 0, ""

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.admin("metrics")[1].splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        self.process.send_signal(number)

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        return processes.named(self.process.pid, "filterd-worker", "filterd.worker")

    def zygote(self) -> int:
        """Process id of what workers and scanners are forked from."""
        return processes.named(self.process.pid, "filterd-zygote")[0]

    def scanners(self) -> list[int]:
        """Process ids of the scanners."""
        return processes.named(self.process.pid, "filterd-scanner", "filterd.scan.worker")


def wait_until(condition: Callable[[], Any], what: str = "", *, seconds: float = PATIENCE_SECONDS) -> Any:
    """What ``condition`` returned when it was first true; fails after a minute, or so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"did not happen within {seconds:.0f} s: {what or condition}")


def write_settings(
    root: Path,
    ports: Ports,
    *,
    next_hop: int,
    workers: int = 1,
    extra: str = "",
    state: Path | None = None,
    ours: str = LOOPBACK,
    theirs: str = LOOPBACK,
) -> Path:
    """A configuration for the ports; small models that know a few words (``tiny_bundle.WEIGHTS``).

    The daemon listens at the address ``theirs``, its next hop at ``ours``.
    """
    bundles = {channel: root / f"bundle-{channel.value}" for channel in Channel}
    for channel, folder in bundles.items():
        if not folder.exists():
            write_bundle(folder, channel)
    path = root / "filterd.toml"
    path.write_text(
        f"""
[server]
state_dir = {json.dumps(str(state or root / "state"))}
workers = {workers}
http_listen = "{theirs}:{ports.http}"
admin_listen = "{theirs}:{ports.admin}"
[smtp]
listen = ["{theirs}:{ports.smtp}"]
hostname = "filter.example"
next_hop = "{ours}:{next_hop}"
[models]
email = {json.dumps(str(bundles[Channel.EMAIL]))}
sms = {json.dumps(str(bundles[Channel.SMS]))}
{extra}
""",
        encoding="utf-8",
    )
    return path


@contextmanager
def running(
    root: Path,
    config: Path,
    ports: Ports,
    *,
    environ: dict[str, str] | None = None,
    is_ready_needed: bool = True,
    under: Sequence[str] = (),
    address: str = LOOPBACK,
) -> Iterator[Gateway]:
    """``filterd serve`` until the end of the block, started by ``under`` where that is given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FILTERD_")}
    with (root / "log").open("ab") as log:
        process = subprocess.Popen(
            [*under, sys.executable, "-m", "filterd", "serve", "--config", str(config)],
            env={**kept, **(environ or {})},
            stdout=log,
            stderr=log,
        )
    gateway = Gateway(root=root, ports=ports, process=process, config=config, address=address)
    try:
        if is_ready_needed:
            wait_until(lambda: process.poll() is not None or gateway.admin("readyz")[0] == 200, "ready")
            assert process.poll() is None, (root / "log").read_text(encoding="utf-8")
        yield gateway
    finally:
        processes.stop(process)

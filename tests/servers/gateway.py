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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filterd.core.envelope import Channel
from filterd.demo.embedded import Ports
from tests.filterd.tiny_bundle import write_bundle
from tests.servers import processes

PATIENCE_SECONDS = 60.0
"""Longest wait for anything; a busy machine takes its time."""


@dataclass(slots=True, kw_only=True)
class Gateway:
    """One running daemon."""

    root: Path
    ports: Ports
    process: subprocess.Popen[bytes]
    config: Path
    _answers: dict[str, Any] = field(default_factory=dict)

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """The lines of the log so far, or those of one event."""
        # What follows the last line end is still being written.
        lines = (self.root / "log").read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in found if not name or event["event"] == name]

    def admin(self, page: str) -> tuple[int, str]:
        """Status and body of a page of the admin port; status 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.admin}/{page}", timeout=10) as answer:
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
        return processes.children(self.process.pid)


def wait_until(condition: Callable[[], Any], what: str = "") -> Any:
    """What ``condition`` returned when it was first true; fails after a minute."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"did not happen within {PATIENCE_SECONDS:.0f} s: {what or condition}")


def write_settings(
    root: Path, ports: Ports, *, next_hop: int, workers: int = 1, extra: str = "", state: Path | None = None
) -> Path:
    """A configuration for the ports; small models that know a few words (``tiny_bundle.WEIGHTS``)."""
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
http_listen = "127.0.0.1:{ports.http}"
admin_listen = "127.0.0.1:{ports.admin}"
[smtp]
listen = ["127.0.0.1:{ports.smtp}"]
hostname = "filter.example"
next_hop = "127.0.0.1:{next_hop}"
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
    root: Path, config: Path, ports: Ports, *, environ: dict[str, str] | None = None, is_ready_needed: bool = True
) -> Iterator[Gateway]:
    """``filterd serve`` until the end of the block."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FILTERD_")}
    with (root / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "filterd", "serve", "--config", str(config)],
            env={**kept, **(environ or {})},
            stdout=log,
            stderr=log,
        )
    gateway = Gateway(root=root, ports=ports, process=process, config=config)
    try:
        if is_ready_needed:
            wait_until(lambda: process.poll() is not None or gateway.admin("readyz")[0] == 200, "ready")
            assert process.poll() is None, (root / "log").read_text(encoding="utf-8")
        yield gateway
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

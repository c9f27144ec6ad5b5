"""What hostile clients and messages may cost a running daemon: time on its loop, memory, other people's time."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import smtplib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Self

import pytest

from filterd.demo import sink
from filterd.demo.embedded import Ports
from filterd.demo.sink import MailSink, on_a_thread
from tests.hostile.shapes import make
from tests.servers.gateway import Gateway, running, wait_until, write_settings
from tests.servers.processes import running_seconds

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HAM = b"From: Ann <ann@example.org>\r\nSubject: agenda\r\n\r\nthe agenda for Monday\r\n"
LAG_SECONDS = 0.1
IDLE, IDLE_BYTES = 10_000, 200 << 20
SLOW = 1_000
ROUNDS = 3
SETTINGS = "max_sessions = 12000\nmax_errors = 100000000\nmax_in_flight_bytes = 1073741824\n"
BODIES = {
    "line ends": b"\r\n" * 12_500_000,
    "dots": b"\r\n." * 8_000_000,
    "nul lines": b"\r\n\0\0" * 6_000_000,
    "one line": b"x" * 25_000_000,
    "headers": b"x:\r\n" * 130_000,
    "forged headers": b"X-Spam-Flag: NO\r\n" * 30_000 + b"\r\n",
    "folds": b"X-Spam-A: a" + b"\r\n a" * 130_000 + b"\r\n\r\n",
    "received": b"Received: x\r\n" * 40_000 + b"\r\n",
    "releases": (b"X-Filterd-Release: " + b"0" * 32 + b" " + b"1" * 64 + b"\r\n") * 4_000 + b"\r\n" + b"x" * 20_000_000,
    "parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 160_000,
    "page": make("b5-closing#0").raw,
    "deep page": make("b5-divs#0").raw,
    "marks": b"Content-Type: text/plain; charset=utf-8\r\n\r\na" + "\u0316\u0301".encode() * 80_000,
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


async def _in_bulk(reader: asyncio.StreamReader) -> bytes:
    """A message without a look at its lines: twelve million of them take a minute."""
    data = bytearray()
    while not data.endswith(b"\r\n.\r\n"):
        chunk = await reader.read(1 << 20)
        if not chunk:
            raise ConnectionResetError
        data += chunk
    return bytes(data)


@pytest.fixture
def next_hop(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(sink, "_read_data", _in_bulk)
    with on_a_thread(MailSink(root / "delivered")) as port:
        yield port


@contextmanager
def daemon(root: Path, next_hop: int) -> Iterator[Gateway]:
    """One worker, with room for everybody."""
    ports = Ports.free()
    config = write_settings(root, ports, next_hop=next_hop)
    config.write_text(config.read_text().replace("[smtp]\n", f"[smtp]\n{SETTINGS}"), encoding="utf-8")
    with running(root, config, ports) as gateway:
        yield gateway


@contextmanager
def clients(kind: str, gateway: Gateway, count: int) -> Iterator[None]:
    """``count`` clients in a process of their own."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    needed = count * (2 if kind == "slow" else 1) + 500
    if most < needed:
        pytest.skip(f"needs {needed} open files, may have {most}")
    command = [sys.executable, "-m", "tests.hostile.clients", kind, str(gateway.ports.smtp), str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == f"ready {count}\n"
            yield
        finally:
            process.stdin.close()
            process.wait(60)


def connected(gateway: Gateway) -> smtplib.SMTP:
    client = smtplib.SMTP("127.0.0.1", gateway.ports.smtp, local_hostname="client.example", timeout=120)
    client.ehlo()
    return client


def say(client: smtplib.SMTP, raw: bytes) -> int:
    """The code of the reply to the final dot, or of the first refusal."""
    client.mail("ann@example.org")
    client.rcpt("bob@example.net")
    code, _ = client.docmd("data")
    if code != 354:
        return code
    client.send(raw.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n")
    return client.getreply()[0]


class Pinger:
    """Asks the daemon for a word again and again: the slowest answer is the longest its loop was busy.

    Time in which the machine ran something else is not the loop's: what counts is the shorter of the wait and the
    processor time of the loop's thread meanwhile.
    """

    def __init__(self, gateway: Gateway) -> None:
        (self._worker,) = gateway.workers()
        self._client = connected(gateway)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.worst = 0.0
        self.answers = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._is_over.is_set():
            used, started = running_seconds(self._worker), time.monotonic()
            assert self._client.noop()[0] == 250
            waited = time.monotonic() - started
            self.worst = max(self.worst, min(waited, running_seconds(self._worker) - used))
            self.answers += 1
            time.sleep(0.002)


def test_b3_b5_b6_b10_event_loop_when_a_message_is_hostile_goes_on_within_100_milliseconds(
    root: Path, next_hop: int
) -> None:
    """The best of three rounds for each message: on a busy machine even processor time is longer."""
    worst: dict[str, float] = {}
    with daemon(root, next_hop) as gateway:
        for name, body in BODIES.items():
            lags: list[float] = []
            while len(lags) < ROUNDS and (not lags or lags[-1] > LAG_SECONDS):
                lags.append(_lag(gateway, body))
            worst[name] = min(lags)
            print(f"longest on the loop, {name}: {worst[name] * 1000:.0f} ms")  # noqa: T201  # for whoever runs it

    assert {name: lag for name, lag in worst.items() if lag > LAG_SECONDS} == {}


def _lag(gateway: Gateway, body: bytes) -> float:
    """How long the loop was busy at most while it received and judged ``body``."""
    with Pinger(gateway) as pinger:
        client = connected(gateway)
        assert say(client, b"Subject: x\r\n" + body)
        client.close()
    return pinger.worst


def test_b5_scanner_when_killed_is_replaced_within_a_second(root: Path, next_hop: int) -> None:
    """A message scored is the proof, and none is blamed. Time in which the machine ran something else is taken off."""
    took = []
    with daemon(root, next_hop) as gateway, connected(gateway) as client:
        assert say(client, HAM) == 250
        for _ in range(2 * ROUNDS):
            (before,) = gateway.scanners()
            os.kill(before, signal.SIGKILL)
            wait_until(partial(_is_dead, before))
            started = time.monotonic()
            assert say(client, HAM) == 250
            waited = time.monotonic() - started
            (after,) = gateway.scanners()
            took.append(min(waited, running_seconds(after)))
            assert after != before
        assert not gateway.events("scan.failed")
    print(f"replaced and scored within {min(took):.2f} s, of {[round(t, 2) for t in took]}")  # noqa: T201

    assert min(took) <= 1.0


def _is_dead(pid: int) -> bool:
    """Whether it has ended with all of its threads, though nobody may have asked for its exit code yet.

    The first thread is a zombie while others still hold the process's sockets open.
    """
    path = Path(f"/proc/{pid}")
    if not path.exists():
        return True
    state = (path / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    return state == "Z" and len(list((path / "task").iterdir())) == 1


def test_a9_thousand_slow_senders_do_not_double_what_others_wait(root: Path, next_hop: int) -> None:
    """The better of rounds that alternate: the machine's other work comes and goes."""
    ratios = []
    with daemon(root, next_hop) as gateway:
        _p99(gateway, 30)
        for _ in range(ROUNDS):
            alone = _p99(gateway)
            with clients("slow", gateway, SLOW):
                assert gateway.metric("filterd_sessions") >= SLOW
                beside = _p99(gateway)
            ratios.append(beside / alone)
            print(f"p99 alone {alone * 1000:.1f} ms, beside {SLOW} slow senders {beside * 1000:.1f} ms")  # noqa: T201
            if ratios[-1] <= 2.0:
                break

    assert min(ratios) <= 2.0


def _p99(gateway: Gateway, count: int = 300) -> float:
    """Seconds from MAIL to the reply to the dot, for a client that sends one message after the other."""
    took = []
    with connected(gateway) as client:
        for _ in range(count):
            started = time.monotonic()
            assert say(client, HAM) == 250
            took.append(time.monotonic() - started)
    return quantiles(took, n=100)[98]


def test_a10_ten_thousand_idle_sessions_take_at_most_200_megabytes(root: Path, next_hop: int) -> None:
    with daemon(root, next_hop) as gateway:
        (worker,) = gateway.workers()
        _p99(gateway, 30)
        before = _resident_bytes(worker)
        with clients("idle", gateway, IDLE):
            grown = _resident_bytes(worker) - before
            assert gateway.metric("filterd_sessions") >= IDLE
            greeted = []
            for _ in range(50):
                started = time.monotonic()
                connected(gateway).close()
                greeted.append(time.monotonic() - started)
    print(f"{IDLE} idle sessions: {grown / 1e6:.0f} MB, greeting beside them {sorted(greeted)[-2] * 1000:.1f} ms")  # noqa: T201

    assert grown <= IDLE_BYTES


def _resident_bytes(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()

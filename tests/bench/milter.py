"""Processor time of the milter edge for a mail, but for its scan: ``python -m tests.bench.milter [mails]``.

The edge with pipeline, headers, log line and metrics, and a scan that is always the same, asked by four processes of
their own that say what Postfix says of a mail of 30 header fields and 10 KB. Told are microseconds a mail.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
import time

import uvloop
from prometheus_client import CollectorRegistry

from filterd import log
from filterd.clock import SystemClock
from filterd.core.envelope import Channel
from filterd.core.headers import Stamp
from filterd.core.policy import Policy
from filterd.edge_settings import MilterSettings
from filterd.edges.milter import MilterEdge
from filterd.fuzzy.memory import ReportedMemory
from filterd.inference.online import SiteWeights
from filterd.metrics import Metrics
from filterd.pipeline import Pipeline, Settings
from filterd.testing import FakeScanner, MemoryStore, RecordingRelay
from tests.filterd.milter_dialogue import ALL_ACTIONS, ALL_STEPS, frame, strings

_MAILS = 2_000
_CONNECTIONS = 4
_HEADERS = [
    (f"X-Field-{i}".encode(), b" some words of a header field of usual length, " + b"x" * 20) for i in range(28)
]
_HEADERS += [(b"Subject", b" hello"), (b"X-Spam-Flag", b" NO")]


def mail() -> bytes:
    """What a mail server says of one mail."""
    return b"".join(
        (
            frame(b"M", strings(b"<a@example.org>", b"SIZE=12000")),
            frame(b"R", strings(b"<b@example.net>")),
            *(frame(b"L", strings(name, value)) for name, value in _HEADERS),
            frame(b"B", b"some words of a line of text, as long as lines are.\r\n" * 190),
            frame(b"D", b"E" + strings(b"i", b"4A1B2C3D4E")),
            frame(b"E"),
        )
    )


def ask(port: int, mails: int) -> None:
    """Show so many mails, one after the other."""
    with socket.create_connection(("127.0.0.1", port)) as peer, peer.makefile("rb") as answers:
        peer.sendall(frame(b"O", struct.pack("!III", 6, ALL_ACTIONS, ALL_STEPS)))
        answers.read(int.from_bytes(answers.read(4), "big"))
        peer.sendall(
            frame(b"C", b"mail.example.org\x004\x00\x19192.0.2.1\0") + frame(b"H", strings(b"mail.example.org"))
        )
        shown = mail()
        for _ in range(mails):
            peer.sendall(shown)
            command = b""
            while command != b"c":
                command = answers.read(int.from_bytes(answers.read(4), "big"))[:1]


async def measure(mails: int) -> float:
    """Seconds of processor time for each mail."""
    metrics, clock = Metrics(CollectorRegistry()), SystemClock()
    events = log.Events(log.get_logger(), log.AddressMask(b"key"))
    pipeline = Pipeline(
        scanner=FakeScanner(),
        store=MemoryStore(clock),
        clock=clock,
        metrics=metrics,
        events=events,
        memory=ReportedMemory(),
        correction=SiteWeights(),
        settings=Settings(policies={Channel.EMAIL: Policy()}, stamp=Stamp(hostname="filter.example")),
    )
    edge = MilterEdge(
        MilterSettings(),
        process=pipeline.process,
        next_hop=RecordingRelay(),
        stamp=lambda: pipeline.settings.stamp,
        clock=clock,
        metrics=metrics,
        events=events,
    )
    sock = socket.create_server(("127.0.0.1", 0))
    await edge.serve(sock)
    port = str(sock.getsockname()[1])
    for count in (mails // 10, mails):
        started = time.process_time()
        command = (sys.executable, "-m", "tests.bench.milter", str(count // _CONNECTIONS), port)
        clients = [
            await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL) for _ in range(_CONNECTIONS)
        ]
        await asyncio.gather(*(client.wait() for client in clients))
        spent = time.process_time() - started
    await edge.drain(1)
    return spent / mails


def main() -> None:
    """Measure, or be the one who asks."""
    mails = int(sys.argv[1]) if len(sys.argv) > 1 else _MAILS
    if len(sys.argv) > 2:
        ask(int(sys.argv[2]), mails)
        return
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  # the log is written, and to nobody
    log.configure("json", "info")
    print(f"{uvloop.run(measure(mails)) * 1e6:.0f}")


if __name__ == "__main__":
    main()

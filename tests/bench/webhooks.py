"""Signed webhooks a second: two workers, SQLite, the shipped models, every SMS committed before its 2xx.

``python -m tests.bench.webhooks [connections] [seconds]``. A closed loop on kept-alive connections; the calls are
signed before the clock starts. The client shares the machine with what is measured: processor time counts.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from filterd.demo.embedded import Ports, write_config
from filterd.demo.webhook_client import signed_request
from tests.bench.scan_path import corpus
from tests.servers import gateway, processes
from tests.servers.ports import free_port

_SECRET = "whsec_" + "c2VjcmV0" * 4
_SETTINGS = """
[sms.generic]
secret = "{secret}"
"""
_CALLS = 20_000


def _calls(port: int) -> Iterator[bytes]:
    """Requests as octets, each with an id of its own."""
    lines = b"".join(corpus("sms-uci.tar.xz")).decode("utf-8", "replace").splitlines()
    texts = [line.partition("\t")[2] for line in lines if "\t" in line] or ["see you at nine", "WIN, call 0900 123"]
    now, run = datetime.now(UTC), secrets.token_hex(4)
    for number in range(_CALLS):
        url, headers, body = signed_request(
            "generic",
            base_url=f"http://127.0.0.1:{port}",
            secret=_SECRET,
            id=f"{run}-{number}",
            sender="+15550100",
            recipient="+15550199",
            text=texts[number % len(texts)],
            now=now,
        )
        head = [f"POST {urlsplit(url).path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        yield "\r\n".join((*head, "", "")).encode() + body


async def _connection(port: int, calls: Iterator[bytes], until: float, milliseconds: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for call in calls:
        began = time.perf_counter()
        if began > until:
            break
        writer.write(call)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 2"), head
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        milliseconds.append((time.perf_counter() - began) * 1000)
    writer.close()


async def _drive(port: int, calls: Iterator[bytes], connections: int, seconds: float) -> list[float]:
    """Milliseconds of every call, sorted."""
    until, found = time.perf_counter() + seconds, list[float]()
    await asyncio.gather(*(_connection(port, calls, until, found) for _ in range(connections)))
    return sorted(found)


def main() -> None:
    """Drive and print."""
    connections, seconds = (int(each) for each in (*sys.argv[1:], *("16", "10")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory(prefix="filterd-webhooks-") as name:
        root, ports = Path(name), Ports.free()
        calls = iter(list(_calls(ports.http)))
        config = root / "filterd.toml"
        extra = _SETTINGS.format(secret=_SECRET)
        write_config(config, ports, state=root / "state", next_hop=free_port(), workers=2, extra=extra)
        with gateway.running(root, config, ports) as ours:
            asyncio.run(_drive(ports.http, calls, connections, 2))
            before = processes.cpu_seconds(ours.process.pid)
            found = asyncio.run(_drive(ports.http, calls, connections, seconds))
            spent = processes.cpu_seconds(ours.process.pid) - before
    middle, worst = found[len(found) // 2], found[len(found) * 99 // 100]
    sys.stdout.write(
        f"{connections} connections: {len(found) / seconds:.0f} webhooks/s, "
        f"{1000 * spent / len(found):.2f} ms CPU each, p50 {middle:.1f} ms, p99 {worst:.1f} ms\n"
    )


if __name__ == "__main__":
    main()

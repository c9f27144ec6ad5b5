"""Clients by the thousand, in a process of their own: ``python -m tests.hostile.clients idle PORT COUNT``.

``idle`` reads the banner and says nothing more. ``slow`` begins a message and sends an octet of it every second. Once
all are in place it prints ``ready`` and how many, and goes on until its standard input closes.
"""

from __future__ import annotations

import asyncio
import sys

_AT_A_TIME = 50


async def _idle(port: int) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4_096)
    await _heard(reader, "220")
    return writer


async def _slow(port: int) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4_096)
    await _heard(reader, "220")
    for line, code in (
        ("EHLO slow.example", "250"),
        ("MAIL FROM:<a@b.example>", "250"),
        ("RCPT TO:<c@d.example>", "250"),
        ("DATA", "354"),
    ):
        writer.write(f"{line}\r\n".encode())
        await _heard(reader, code)
    return writer


async def _heard(reader: asyncio.StreamReader, code: str) -> None:
    while True:
        line = (await reader.readline()).decode("ascii", "replace")
        if line[3:4] != "-":
            break
    if not line.startswith(code):
        raise SystemExit(f"said {line!r}, not {code}")


async def _run(kind: str, port: int, count: int) -> None:
    connect = {"idle": _idle, "slow": _slow}[kind]
    writers: list[asyncio.StreamWriter] = []
    while len(writers) < count:
        writers += await asyncio.gather(*(connect(port) for _ in range(min(_AT_A_TIME, count - len(writers)))))
    sys.stdout.write(f"ready {len(writers)}\n")
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    gone = loop.run_in_executor(None, sys.stdin.read)
    while not gone.done():
        for number, writer in enumerate(writers if kind == "slow" else ()):
            writer.write(b"x")
            if not number % _AT_A_TIME:
                await asyncio.sleep(_AT_A_TIME / count)
        await asyncio.wait((gone,), timeout=0.1)
    for writer in writers:
        writer.transport.abort()


if __name__ == "__main__":
    asyncio.run(_run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

"""A closed-loop client on N kept-alive connections, cheap enough not to be what is measured.

``python -m tests.bench.load PROTOCOL PORT CONNECTIONS SECONDS FILE``, PROTOCOL being ``smtp`` or ``rspamd``, sends the
messages of FILE (four octets of length, then the octets as they go over the wire, again and again) for so long and
prints JSON. No pipelining: every command waits for its reply, as with most clients. One thread that waits in
``select`` only.
"""

from __future__ import annotations

import itertools
import json
import selectors
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from filterd.core.smtp_data import emit

_LENGTH = struct.Struct(">I")
_MAIL = b"MAIL FROM:<ann@example.org>\r\n"
_RCPT = b"RCPT TO:<bob@example.net>\r\n"
_HTTP = b"POST /checkv2 HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
_READ_BYTES = 65_536
_PATIENCE_SECONDS = 30.0
"""Longest silence of the server before the run is given up."""


class Step(Enum):
    """What a connection waits for the reply to."""

    BANNER = auto()
    EHLO = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    DOT = auto()
    ANSWER = auto()
    """To a request of HTTP."""


_NEXT = {Step.BANNER: Step.EHLO, Step.EHLO: Step.MAIL, Step.MAIL: Step.RCPT, Step.RCPT: Step.DATA, Step.DATA: Step.DOT}
_SAID = {Step.EHLO: b"EHLO client.example\r\n", Step.MAIL: _MAIL, Step.RCPT: _RCPT, Step.DATA: b"DATA\r\n"}


@dataclass(slots=True)
class Connection:
    """One session and where it is."""

    sock: socket.socket
    step: Step = Step.BANNER
    began: float = 0.0
    unread: bytes = b""


@dataclass(slots=True)
class Counts:
    """What came of the run."""

    milliseconds: list[float] = field(default_factory=list)
    """From MAIL to the reply to the dot, per accepted message."""
    refused: int = 0


def pack(messages: Iterable[bytes]) -> bytes:
    """Messages as ``run`` reads them."""
    wires = map(emit, messages)
    return b"".join(_LENGTH.pack(len(wire)) + wire for wire in wires)


def unpack(data: bytes) -> list[bytes]:
    """The inverse, still as on the wire."""
    out, at = [], 0
    while at < len(data):
        (size,) = _LENGTH.unpack_from(data, at)
        out.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return out


def run(
    port: int, connections: int, seconds: float, messages: Sequence[bytes], protocol: str = "smtp"
) -> tuple[Counts, float]:
    """What was answered, and over how many seconds. Raises OSError when the server goes away."""
    counts, supply = Counts(), itertools.cycle(messages)
    advance = _advance if protocol == "smtp" else _answered
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = Connection(_connected(port))
            selector.register(connection.sock, selectors.EVENT_READ, connection)
            if protocol != "smtp":
                _ask(connection, next(supply))
        started = time.perf_counter()
        until = started + seconds
        while time.perf_counter() < until:
            ready = selector.select(_PATIENCE_SECONDS)
            if not ready:
                raise TimeoutError("the server says nothing")
            for key, _ in ready:
                if advance(key.data, counts, supply):
                    selector.unregister(key.data.sock)
                    key.data.sock.close()
                    key.data.sock = _connected(port)
                    selector.register(key.data.sock, selectors.EVENT_READ, key.data)
                    _ask(key.data, next(supply))
        elapsed = time.perf_counter() - started
        for key in list(selector.get_map().values()):
            key.data.sock.close()
    return counts, elapsed


def _connected(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _ask(connection: Connection, wire: bytes) -> None:
    connection.step, connection.began, connection.unread = Step.ANSWER, time.perf_counter(), b""
    body = wire.removesuffix(b".\r\n")
    connection.sock.sendall(_HTTP % len(body) + body)


def _answered(connection: Connection, counts: Counts, _: Iterator[bytes]) -> bool:
    """Read what is there of an answer; whether it is whole. The server closes after each."""
    data = connection.sock.recv(_READ_BYTES)
    if not data:
        raise ConnectionError("closed in the middle of an answer")
    connection.unread += data
    head, mark, body = connection.unread.partition(b"\r\n\r\n")
    if not mark:
        return False
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    if len(body) < length:
        return False
    if b" 200 " in head[:16]:
        counts.milliseconds.append((time.perf_counter() - connection.began) * 1000)
    else:
        counts.refused += 1
    return True


def _advance(connection: Connection, counts: Counts, supply: Iterator[bytes]) -> bool:
    """Read what is there; when it is a whole reply, say the next thing. Never asks for another connection."""
    data = connection.sock.recv(_READ_BYTES)
    if not data:
        raise ConnectionError(f"closed while waiting for the reply to {connection.step.name}")
    connection.unread += data
    last = connection.unread[: connection.unread.rfind(b"\n") + 1].splitlines()[-1:]
    if not last or not connection.unread.endswith(b"\n") or last[0][3:4] == b"-":
        return False
    is_good = connection.unread[:1] in b"23"
    connection.unread = b""
    step = connection.step
    if step is Step.DOT:
        if is_good:
            counts.milliseconds.append((time.perf_counter() - connection.began) * 1000)
        else:
            counts.refused += 1
        step = Step.EHLO
    elif not is_good:
        raise ConnectionError(f"{last[0]!r} in reply to {step.name}")
    connection.step = _NEXT[step]
    if connection.step is Step.MAIL:
        connection.began = time.perf_counter()
    connection.sock.sendall(next(supply) if connection.step is Step.DOT else _SAID[connection.step])
    return False


def main() -> None:
    """Run and print."""
    protocol, port, connections, seconds, file = sys.argv[1:]
    messages = unpack(Path(file).read_bytes())
    counts, elapsed = run(int(port), int(connections), float(seconds), messages, protocol)
    print(json.dumps({"milliseconds": counts.milliseconds, "refused": counts.refused, "seconds": elapsed}))


if __name__ == "__main__":
    main()

"""What supervisor and worker say to each other: one JSON object per line over a socket pair.

Supervisor to worker: ``start`` (environment, configuration, what its sockets are for), ``reload`` (configuration),
``drain``.
Worker to supervisor: ``report`` (what is up), ``reloaded`` (result), ``failed`` (why it gives up), ``stopped``.
The end of the stream tells a worker that its supervisor is gone, and that it should be too.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any, Self

_LONGEST_LINE = 64 * 1024 * 1024
"""Bytes; a configuration may hold long allow and deny lists."""


class Control:
    """One end of the connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> Self:
        """An end that owns ``sock``."""
        return cls(*await asyncio.open_connection(sock=sock, limit=_LONGEST_LINE))

    def send(self, kind: str, **fields: Any) -> None:
        """Say something; a peer that is gone is noticed by ``receive``."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps({"kind": kind, **fields}).encode() + b"\n")

    async def receive(self) -> dict[str, Any] | None:
        """The next thing the peer says; None when it is gone."""
        try:
            line = await self._reader.readline()
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            return None
        said: dict[str, Any] = json.loads(line)
        return said

    async def close(self) -> None:
        """Send what is left and close."""
        try:
            await self._writer.drain()
            self._writer.close()
            await self._writer.wait_closed()
        except OSError:
            return

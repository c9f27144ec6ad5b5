"""An SMS centre that gateways connect to over SMPP 3.4: hands them messages, and keeps what they send.

Source: SMPP 3.4 sections 3.2 (PDU), 4.1 (bind), 4.4 (submit_sm) and 4.6 (deliver_sm). One gateway, on loopback.
"""

from __future__ import annotations

import socket
import struct
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_RESPONSE = 0x8000_0000
_BINDS = {0x1, 0x2, 0x9}
_SUBMIT, _DELIVER, _UNBIND, _ENQUIRE = 0x4, 0x5, 0x6, 0x15
_HEADER = struct.Struct(">IIII")
_PATIENCE_SECONDS = 60.0
GSM, UCS2 = 0, 8
"""Data codings (section 5.2.19)."""


@dataclass(slots=True)
class Centre:
    """Waits for a gateway; a context manager."""

    submitted: list[bytes] = field(default_factory=list)
    """Bodies of the messages a gateway sent to phones."""
    _listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    _connection: socket.socket | None = None
    _bound: threading.Event = field(default_factory=threading.Event)
    _acknowledged: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _count: int = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.close()
        if self._connection is not None:
            self._connection.close()

    def deliver(self, text: bytes, coding: int = GSM, sender: str = "15005550001", to: str = "15005550006") -> None:
        """One SMS from a phone, in international numbers; returns once the gateway has acknowledged it."""
        assert self._bound.wait(_PATIENCE_SECONDS)
        source, target = (b"\x01\x01" + number.encode() + b"\0" for number in (sender, to))
        body = b"\0" + source + target + bytes((0, 0, 0, 0, 0, 0, 0, coding, 0, len(text))) + text
        self._count += 1
        self._send(_DELIVER, self._count, body)
        assert self._acknowledged.acquire(timeout=_PATIENCE_SECONDS)

    def _send(self, command: int, sequence: int, body: bytes) -> None:
        assert self._connection is not None
        self._connection.sendall(_HEADER.pack(_HEADER.size + len(body), command, 0, sequence) + body)

    def _serve(self) -> None:
        try:
            self._connection, _ = self._listener.accept()
            with self._connection.makefile("rb") as stream:
                while head := stream.read(_HEADER.size):
                    length, command, status, sequence = _HEADER.unpack(head)
                    self._take(command, status, sequence, stream.read(length - _HEADER.size))
        except OSError:
            return  # the test is over

    def _take(self, command: int, status: int, sequence: int, body: bytes) -> None:
        if command in _BINDS:
            self._send(command | _RESPONSE, sequence, b"centre\0")
            self._bound.set()
        elif command == _SUBMIT:
            self.submitted.append(body)
            self._send(command | _RESPONSE, sequence, b"1\0")
        elif command in {_UNBIND, _ENQUIRE}:
            self._send(command | _RESPONSE, sequence, b"")
        elif command == _DELIVER | _RESPONSE:
            assert status == 0
            self._acknowledged.release()

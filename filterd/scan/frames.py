"""What worker and scanner say to each other over a socket pair: MessagePack behind a length of four octets.

A request is two frames, its facts and the raw message, so that a large message is never copied into another buffer.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any, TypeVar

import msgspec

from filterd.core.envelope import Channel
from filterd.core.limits import ParseLimits
from filterd.core.mail_view import MailView
from filterd.core.report_mail import ReportMail
from filterd.core.verdict import Scan, ScanFailure
from filterd.errors import Unscannable

MAX_FRAME_BYTES = 1 << 30
_LENGTH_BYTES = 4

T = TypeVar("T")


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """Worker to scanner, first: what to load and how far to go."""

    folders: dict[Channel, str]
    limits: ParseLimits
    memory_bytes: int
    """Address space above what the scanner has when everything is loaded."""
    cpu_seconds: float
    """Processor time for one message."""
    keeps_inputs: bool = False
    """Whether what the model read is part of every answer."""
    is_explaining: bool = True
    """Whether the words that moved the number are."""
    trusted_authserv_ids: tuple[str, ...] = ()
    """Whose Authentication-Results are read, lower case."""
    max_signatures: int = 0
    """DKIM signatures of a message that will be verified."""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Scanner to worker, once: what is in service."""

    models: dict[Channel, str]
    """Bundle ids."""
    refused: dict[Channel, str]
    """Why a bundle is not."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Worker to scanner: one message; its raw bytes follow in a frame of their own."""

    channel: Channel
    sender: str = ""
    peer: str = ""
    is_report: bool = False
    """The message is not scored: which messages does it report?"""
    is_view: bool = False
    """The message is not scored: what do people see of it?"""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Scanner to worker: what was found, or why nothing was."""

    scan: Scan | None = None
    report: ReportMail | None = None
    view: MailView | None = None
    failure: ScanFailure = ScanFailure.UNSCANNABLE
    detail: str = ""
    is_last: bool = False
    """The scanner cannot be trusted any more and ends."""


def pack(value: msgspec.Struct) -> bytes:
    """One frame."""
    return frame(msgspec.msgpack.encode(value, enc_hook=dict))


def frame(data: bytes) -> bytes:
    """``data`` behind its length. Raises Unscannable for what is too long for a frame."""
    return head(data) + data


def head(data: bytes) -> bytes:
    """The length of ``data`` as it goes in front. Raises Unscannable for what is too long for a frame."""
    if len(data) > MAX_FRAME_BYTES:
        raise Unscannable("message too large for a scanner")
    return len(data).to_bytes(_LENGTH_BYTES, "big")


def unpack(data: bytes, kind: type[T]) -> T:
    """Raises ValueError for anything but a ``kind``."""
    return msgspec.msgpack.decode(data, type=kind)


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The next frame. Raises EOFError or OSError when the other side is gone, ValueError for nonsense."""
    size = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "big")
    if size > MAX_FRAME_BYTES:
        raise ValueError("frame too long")
    return await reader.readexactly(size)


def receive_frame(connection: socket.socket) -> bytes:
    """The same on a blocking socket."""
    size = int.from_bytes(_receive(connection, _LENGTH_BYTES), "big")
    if size > MAX_FRAME_BYTES:
        raise ValueError("frame too long")
    return _receive(connection, size)


def _receive(connection: socket.socket, size: int) -> bytes:
    data = bytearray(size)
    view: Any = memoryview(data)
    at = 0
    while at < size:
        count = connection.recv_into(view[at:])
        if not count:
            raise EOFError
        at += count
    return bytes(data)

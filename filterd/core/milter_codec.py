"""Frames of the milter protocol and the values they stand for; both directions, as a filter sees them.

Source: mfdef.h of libmilter 8.17 (protocol version 6, which Sendmail 8.14 and Postfix 2.6 and later speak). A frame
is a length of four octets, big endian, a command of one octet, and data; strings in it end with NUL. Does not know
which command may follow which: that is the session's.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import NamedTuple

from filterd.core.verdict import Reply
from filterd.errors import MilterBroken

VERSION = 6
OLDEST_VERSION = 2
MAX_FRAME_BYTES = 1_114_112
"""The largest chunks a mail server can be asked for are 1 MiB; we ask for none larger than 64 KiB."""
MAX_REPLY_CHARS = 400
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HEAD = struct.Struct("!I")


class Can(IntFlag):
    """What a filter may do to a message (SMFIF_*): offered by the mail server, taken by the filter."""

    ADD_HEADERS = 0x1
    DELETE_RECIPIENTS = 0x8
    CHANGE_HEADERS = 0x10
    QUARANTINE = 0x20
    CHOOSE_MACROS = 0x100


class Step(IntFlag):
    """What of the dialogue can be left out (SMFIP_*): offered by the mail server, taken by the filter."""

    NO_END_OF_HEADERS = 0x40
    NO_REPLY_HEADER = 0x80
    NO_UNKNOWN = 0x100
    NO_DATA = 0x200
    SKIP = 0x400
    """The filter may ask for no more of the body."""
    NO_REPLY_CONNECT = 0x1000
    NO_REPLY_HELO = 0x2000
    NO_REPLY_MAIL = 0x4000
    NO_REPLY_RCPT = 0x8000
    NO_REPLY_DATA = 0x10000
    NO_REPLY_UNKNOWN = 0x20000
    NO_REPLY_END_OF_HEADERS = 0x40000
    NO_REPLY_BODY = 0x80000
    LEADING_SPACE = 0x100000
    """Header values come, and go, with the space behind the colon."""


NO_REPLY = {
    b"C": Step.NO_REPLY_CONNECT,
    b"H": Step.NO_REPLY_HELO,
    b"M": Step.NO_REPLY_MAIL,
    b"R": Step.NO_REPLY_RCPT,
    b"T": Step.NO_REPLY_DATA,
    b"L": Step.NO_REPLY_HEADER,
    b"N": Step.NO_REPLY_END_OF_HEADERS,
    b"B": Step.NO_REPLY_BODY,
    b"U": Step.NO_REPLY_UNKNOWN,
}
"""Command -> what spares it an answer. All others have no answer, or a long one."""

MACRO_STAGES = {b"C": 0, b"H": 1, b"M": 2, b"R": 3, b"T": 4, b"E": 5}
"""Command that macros precede -> its number where macros are chosen (SMFIM_*)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Negotiation:
    """What one side offers or takes."""

    version: int
    actions: Can
    steps: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Macros:
    """What the mail server knows before a command, names without braces."""

    command: bytes
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """The client; without address and port where the mail server names none."""

    name: str
    port: int = 0
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The argument of MAIL or RCPT, and of HELO without parameters."""

    argument: bytes
    """As the client gave it, with its angle brackets."""
    parameters: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """The address without angle brackets."""
        text = text_of(self.argument)
        return text[1:-1] if text.startswith("<") and text.endswith(">") else text


class Header(NamedTuple):
    """One header field; its lines end with LF, and the value begins with its space where that was agreed upon.

    A message has dozens: a tuple is made in a quarter of the time of a frozen dataclass.
    """

    name: bytes
    value: bytes


class Frames:
    """Finds frames in octets that come split anywhere."""

    __slots__ = ("_needed", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._needed = 4
        """Octets from the start of the rest on, without which no frame is whole."""

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Command and data of every frame that is whole now. Raises MilterBroken."""
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
        found = []
        at, size, needed = 0, len(data), 4
        while size - at >= 4:
            needed = 4 + int.from_bytes(data[at : at + 4], "big")
            if not 5 <= needed <= 4 + MAX_FRAME_BYTES:
                raise MilterBroken(f"frame of {needed - 4} octets")
            if size - at < needed:
                break
            found.append((data[at + 4 : at + 5], data[at + 5 : at + needed]))
            at += needed
            needed = 4
        self._rest, self._needed = bytearray(data[at:]), needed
        return found


def text_of(data: bytes) -> str:
    """Octets of an envelope as text that can be stored: what is not UTF-8, and control characters, become marks."""
    text = data.decode("utf-8", "replace")
    return text if text.isprintable() else _CONTROL.sub("?", text)


def _strings(data: bytes) -> list[bytes]:
    """The strings of ``data``. Raises MilterBroken where the last one has no end."""
    if not data.endswith(b"\0"):
        raise MilterBroken("string without end")
    return data[:-1].split(b"\0")


# --- what the mail server says --------------------------------------------------------------------------------


def read_negotiation(data: bytes) -> Negotiation:
    """What the mail server offers. Raises MilterBroken."""
    if len(data) < 12:
        raise MilterBroken("short offer")
    version, actions, steps = struct.unpack_from("!III", data)
    if version < OLDEST_VERSION:
        raise MilterBroken(f"protocol version {version}")
    return Negotiation(version=version, actions=Can(actions), steps=Step(steps))


def read_macros(data: bytes) -> Macros:
    """The macros before a command. Raises MilterBroken."""
    if not data:
        raise MilterBroken("macros of no command")
    words = [text_of(word) for word in _strings(data[1:])] if len(data) > 1 else []
    if len(words) % 2:
        raise MilterBroken("macro without value")
    names = [word.removeprefix("{").removesuffix("}") for word in words[::2]]
    return Macros(command=data[:1], values=tuple(zip(names, words[1::2], strict=True)))


def read_connect(data: bytes) -> Connect:
    """The client. Raises MilterBroken."""
    name, end, rest = data.partition(b"\0")
    if not end or not rest:
        raise MilterBroken("short connection")
    if rest[:1] not in (b"4", b"6"):
        return Connect(name=text_of(name))
    if len(rest) < 4:
        raise MilterBroken("short address")
    # Sendmail marks addresses of version 6, Postfix does not.
    address = text_of(_strings(rest[3:])[0])
    address = address[5:] if address[:5].lower() == "ipv6:" else address
    return Connect(name=text_of(name), port=int.from_bytes(rest[1:3], "big"), address=address)


def read_path(data: bytes) -> Path:
    """The argument of MAIL, RCPT or HELO. Raises MilterBroken."""
    argument, *parameters = _strings(data)
    return Path(argument=argument, parameters=tuple(text_of(each) for each in parameters))


def read_header(data: bytes) -> Header:
    """One header field. Raises MilterBroken."""
    strings = data.split(b"\0")
    if len(strings) != 3 or not strings[0] or strings[2]:
        raise MilterBroken("header field without name and value")
    return Header(strings[0], strings[1])


# --- what the filter says -------------------------------------------------------------------------------------


def frame(command: bytes, data: bytes = b"") -> bytes:
    """One frame."""
    return _HEAD.pack(1 + len(data)) + command + data


CONTINUE = frame(b"c")
DISCARD = frame(b"d")
"""The mail server says 250 and forgets the message: only for what somebody else has safe."""
PROGRESS = frame(b"p")
SKIP = frame(b"s")


def negotiation(taken: Negotiation, macros: dict[bytes, str]) -> bytes:
    """What the filter takes; ``macros`` are the names it wants before each command."""
    data = struct.pack("!III", taken.version, taken.actions, taken.steps)
    if Can.CHOOSE_MACROS in taken.actions:
        for command, names in macros.items():
            data += _HEAD.pack(MACRO_STAGES[command]) + names.encode("ascii") + b"\0"
    return frame(b"O", data)


def reply_code(reply: Reply) -> bytes:
    """The mail server gives this reply, 4yz or 5yz, to its client; as one line."""
    words = " ".join(line for line in reply.lines if line)
    text = "".join(c if " " <= c <= "~" else "?" for c in words)[:MAX_REPLY_CHARS]
    # Sendmail expands %, and both undo the doubling.
    line = f"{reply.code} {reply.enhanced} {text}" if reply.enhanced else f"{reply.code} {text}"
    return frame(b"y", line.strip().replace("%", "%%").encode("ascii") + b"\0")


def insert_header(index: int, name: bytes, value: bytes) -> bytes:
    """Put a header field in front of all others, or behind ``index`` of them."""
    return frame(b"i", _HEAD.pack(index) + _string(name) + _string(value))


def change_header(index: int, name: bytes, value: bytes) -> bytes:
    """Give the ``index``-th field of that name, from 1, another value; an empty one removes it."""
    return frame(b"m", _HEAD.pack(index) + _string(name) + _string(value))


def delete_recipient(argument: bytes) -> bytes:
    """Deliver nothing to a recipient, named as the client named it."""
    return frame(b"-", _string(argument))


def quarantine(reason: str) -> bytes:
    """Let the mail server hold the message."""
    return frame(b"q", _string(reason.encode("ascii", "replace")))


def _string(data: bytes) -> bytes:
    return data.replace(b"\0", b"") + b"\0"

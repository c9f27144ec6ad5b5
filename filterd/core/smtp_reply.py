"""Replies of an SMTP server, and the service extensions its EHLO reply offers (RFC 5321 sections 4.2 and 4.1.1.1).

Strict and bounded: what is no reply is an error, not a guess. Texts come out as one printable line each, so that
they can be passed on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

from filterd.core.verdict import Reply
from filterd.errors import RelayUnavailable

MAX_LINE_BYTES = 4096
MAX_REPLY_BYTES = 65_536
MAX_TEXT_CHARS = 400
_SHORT_BYTES = 128

_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(r"([245]\.[0-9]{1,3}\.[0-9]{1,3})(?: +|$)")
_UNPRINTABLE = re.compile(r"[^ -~]")


class ReplyParser:
    """Turns octets from a server into replies, however they are split."""

    __slots__ = ("_bytes", "_code", "_lines", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._code = 0
        self._bytes = 0
        self._lines: list[str] = []

    @property
    def is_clean(self) -> bool:
        """Whether no part of a reply is waiting for its end."""
        return not self._rest and not self._lines

    def feed(self, data: bytes) -> list[Reply]:
        """The replies completed by ``data``. Raises RelayUnavailable for octets that are no reply."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise RelayUnavailable("next hop sent an endless reply line")
        replies = []
        for line in lines:
            line = line.removesuffix(b"\r")  # noqa: PLW2901  # the same line
            # A server says the same few lines all day.
            reply = _only_line(line) if not self._lines and len(line) <= _SHORT_BYTES else None
            reply = reply or self._line(line)
            if reply is not None:
                replies.append(reply)
        return replies

    def _line(self, line: bytes) -> Reply | None:
        match = _LINE.fullmatch(line)
        self._bytes += len(line)
        if match is None or len(line) > MAX_LINE_BYTES or self._bytes > MAX_REPLY_BYTES:
            raise RelayUnavailable("next hop sent something that is no SMTP reply")
        code = int(match[1])
        if self._lines and code != self._code:
            raise RelayUnavailable("next hop changed the code within a reply")
        self._code = code
        self._lines.append(clean_text((match[3] or b"").decode("utf-8", "replace")))
        if match[2] == b"-":
            return None
        lines, self._lines, self._bytes = self._lines, [], 0
        return _reply(code, lines)


@lru_cache(maxsize=256)
def _only_line(line: bytes) -> Reply | None:
    """The reply that is this one line; None for anything else."""
    match = _LINE.fullmatch(line)
    if match is None or match[2] == b"-":
        return None
    return _reply(int(match[1]), [clean_text((match[3] or b"").decode("utf-8", "replace"))])


def clean_text(text: str) -> str:
    """``text`` as one printable ASCII line of at most 400 characters."""
    return _UNPRINTABLE.sub("?", text)[:MAX_TEXT_CHARS].rstrip()


def _reply(code: int, lines: list[str]) -> Reply:
    """The reply with its enhanced status code taken out of the text, where every line has the same one."""
    found = [_ENHANCED.match(line) for line in lines]
    first = found[0]
    if first is None or first[1][0] != str(code)[0] or any(m is None or m[1] != first[1] for m in found):
        return Reply(code=code, lines=tuple(lines))
    texts = tuple(line[m.end() :] for line, m in zip(lines, found, strict=True) if m is not None)
    return Reply(code=code, enhanced=first[1], lines=texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """The service extensions a server offers."""

    keywords: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Keyword in upper case -> its parameters, in upper case."""

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @property
    def max_bytes(self) -> int:
        """Largest message the server takes (RFC 1870); 0 means it names no limit."""
        text = self.keywords.get("SIZE", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else 0

    @property
    def forwards(self) -> frozenset[str]:
        """XFORWARD attributes the server takes."""
        return frozenset(self.keywords.get("XFORWARD", "").split())

    @classmethod
    def of(cls, reply: Reply) -> Offers:
        """What an EHLO reply offers; the first line is the server's name."""
        keywords: dict[str, str] = {}
        for line in reply.lines[1:]:
            keyword, _, parameters = line.upper().partition(" ")
            keywords[keyword] = parameters.strip()
        return cls(keywords=MappingProxyType(keywords))

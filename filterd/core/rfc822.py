"""Raw mail as a tree of parts, header text decoded, addresses found: the syntax below ``core.message``.

The standard library's parser with the compat32 policy does the work; what it does in quadratic time or without a
bound is capped here before it sees it. Nothing is ever generated from the result (RFC 5322, RFC 2045, RFC 2047).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator, Mapping
from email import feedparser
from email.feedparser import BytesFeedParser
from email.message import Message as Part
from email.policy import compat32
from itertools import islice, pairwise
from typing import Any

from filterd.core.charset import decode
from filterd.core.regular import read_regular
from filterd.errors import Unscannable

MAX_PARAMETERS_CHARS = 2_000
"""Content-Type is read so far: the standard library splits parameters in quadratic time."""
_MAX_HEADER_CHARS = 20_000
"""Decoded so far, per header."""
_MAX_AUTHOR_CHARS = 4_000

_MAX_LINES = 100_000
"""Lines read one by one; the standard library takes two seconds for a million, and ten where parts nest."""
_MAX_BOUNDARIES = 30
"""Distinct ones that lines are compared with; past that any line of two hyphens may be a delimiter."""

_BLANK_LINES = (b"\n\r\n", b"\n\n", b"\r\r")
_BOUNDARY = re.compile(rb"boundary\s*=\s*[\"<]*\s*([^\s;\"<>\\]*)")
"""The first characters of one, lower case; the standard library takes quotes, brackets and backslashes off."""
_RARE_BOUNDARY = re.compile(rb"boundary\s*(?:\*|=\s*(?:[\"<]+\s*)?\\)")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]{0,4000})\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(=\?[^?\s]{1,60}\?[bBqQ]\?)")
_ADDRESS = re.compile(r"[^\s@<>()\[\]\",;:\\]{1,128}@[^\s@<>()\[\]\",;:\\]{1,255}")
_QUOTED = re.compile(r'"(?<!\\")(?:[^"\\]|\\.)*"')
_COMMENT = re.compile(r"\([^()]*\)")
_ANGLE = re.compile(r"<([^<>]{0,400})>")
_NOT_BASE64 = bytes(c for c in range(256) if not (chr(c).isascii() and chr(c).isalnum()) and chr(c) not in "+/=")


class _Entity(Part):
    """A part whose boundary may be written in a way that the standard library cannot put together."""

    def get_boundary(self, failobj: Any = None) -> Any:
        try:
            return super().get_boundary(failobj)
        except (TypeError, ValueError, LookupError):
            return failobj


class _Joined(str):
    """Many lines in one piece."""

    __slots__ = ()


class _Pieces(feedparser.BufferedSubFile):  # type: ignore[name-defined, misc]  # the stub leaves it out
    """Lines of a message that has very many, some of them joined."""

    was_joined = False
    """Whether one of the lines read was."""

    def readline(self) -> str:
        line: str = super().readline()
        self.was_joined = self.was_joined or isinstance(line, _Joined)
        return line


class _Parser(BytesFeedParser):
    """The standard parser, stopped where a message nests or multiplies past its limits."""

    def __init__(self, max_parts: int, max_depth: int) -> None:
        super().__init__(_Entity, policy=compat32)
        self._pieces: _Pieces | None = None
        self._max_parts, self._max_depth = max_parts, max_depth
        self.parts = 0
        self.depth = 0
        self.is_cut = False

    def read(self, raw: bytes) -> Part:
        """The tree. Raises Unscannable."""
        if raw.count(b"\n") + raw.count(b"\r") <= _MAX_LINES and raw.count(b"\n--") <= self._max_parts * 2:
            self.feed(raw)
        else:
            self._input = self._pieces = _Pieces()
            self._pieces.pushlines(list(_pieces(raw, self._max_parts)))
        return self.close()

    def _new_message(self) -> None:
        self.parts += 1
        depth = len(self._msgstack)  # type: ignore[attr-defined]  # the stub leaves it out
        self.depth = max(self.depth, depth)
        if self.parts > self._max_parts:
            raise Unscannable(f"more than {self._max_parts} parts")
        if depth > self._max_depth:
            raise Unscannable(f"parts nest deeper than {self._max_depth}")
        if self._pieces is not None:
            self._pieces.was_joined = False
        super()._new_message()  # type: ignore[misc]  # the stub leaves it out

    def _parse_headers(self, lines: list[str]) -> None:
        if self._pieces is not None and self._pieces.was_joined:
            # Where a header reaches into joined lines, what follows it would not be seen.
            raise Unscannable("too many header lines")
        super()._parse_headers(lines)  # type: ignore[misc]  # the stub leaves it out
        headers: list[tuple[str, str]] = self._cur._headers  # type: ignore[attr-defined]  # noqa: SLF001  # not in the stub
        for i, (name, value) in enumerate(headers):
            if len(value) > MAX_PARAMETERS_CHARS and name.lower().startswith("content-"):
                headers[i] = (name, value[:MAX_PARAMETERS_CHARS])
                self.is_cut = True
        if self.is_cut and self._pieces is not None:
            # A boundary may have been cut: it could be another than the one lines were looked for.
            raise Unscannable("a long header in a message of very many lines")


def skip_mbox_line(raw: bytes) -> bytes:
    """``raw`` without a first line ``From ...`` that an mbox left (RFC 4155)."""
    return raw[raw.find(b"\n") + 1 :] if raw.startswith(b"From ") and b"\n" in raw[:1_000] else raw


def parse_tree(raw: bytes, max_header_bytes: int, max_parts: int, max_depth: int) -> tuple[Part, int, int, bool]:
    """The tree, its parts, its depth, and whether a Content-* header was cut. Raises Unscannable."""
    ends = (raw.find(mark, 0, max_header_bytes + 4) for mark in _BLANK_LINES)
    if len(raw) > max_header_bytes and all(end < 0 for end in ends):
        raise Unscannable(f"more than {max_header_bytes} header bytes")
    # Very many lines may be very many headers: those are read with care.
    is_long = raw.count(b"\n") > _MAX_LINES
    tree = None if is_long else read_regular(raw, max_parts, max_depth, MAX_PARAMETERS_CHARS)
    if tree is not None:
        return tree.root, tree.parts, tree.depth, tree.is_cut
    return _parse_any(raw, max_parts, max_depth)


def _parse_any(raw: bytes, max_parts: int, max_depth: int) -> tuple[Part, int, int, bool]:
    """The same by the standard library, which reads everything."""
    parser = _Parser(max_parts, max_depth)
    return parser.read(raw), parser.parts, parser.depth, parser.is_cut


def _pieces(raw: bytes, max_parts: int) -> Iterator[str]:
    """The lines of ``raw``; those far behind a delimiter are in one piece, for none of them can be a header."""
    delimiters = _delimiters(raw, max_parts)
    most = _MAX_LINES // (len(delimiters) + 1)
    for start, end in pairwise((0, *delimiters, len(raw))):
        at = start
        for match in islice(_LINE_END.finditer(raw, start, end), most):
            yield raw[at : match.end()].decode("ascii", "surrogateescape")
            at = match.end()
        if at < end:
            yield _Joined(raw[at:end].decode("ascii", "surrogateescape"))


def _delimiters(raw: bytes, max_parts: int) -> list[int]:
    """Where lines begin that may end a part. Raises Unscannable where they are more than parts can have.

    Such a line begins like a boundary; where one is written in a rare way, or many are, with two hyphens.
    """
    # Expressions that begin with what they look for, in one case: anything else takes seconds for 25 MB.
    lower = raw.lower()
    line = rb"--(?<![^\r\n]--)"
    if lower.count(b"boundary") <= _MAX_BOUNDARIES * 100 and not _RARE_BOUNDARY.search(lower):
        names = set(_BOUNDARY.findall(lower))
        if not names:
            return []
        # An empty boundary has lines of hyphens only.
        begins = (re.escape(name) if name else rb"(?:--)?[ \t]*(?:[\r\n]|\Z)" for name in names)
        line += rb"[\"<]*(?:" + b"|".join(begins) + rb")" if len(names) <= _MAX_BOUNDARIES else b""
    found = [match.start() for match in islice(re.finditer(line, lower), max_parts * 2 + 1)]
    if len(found) > max_parts * 2:
        raise Unscannable(f"more than {max_parts} parts")
    return found


def clean(value: str) -> str:
    """A header value without the lone surrogates that stand for octets above 127 in the parser's output."""
    return value if value.isascii() else decode(_octets(value), "")[0]


def content_headers(part: Part) -> dict[str, str]:
    """The first of each Content-* header, lower-case name -> value; ``part.get`` would read all headers, each time."""
    found: dict[str, str] = {}
    for name, value in part.raw_items():
        if name[:8].lower() == "content-":
            found.setdefault(name.lower(), str(value))
    return found


def kind_of(part: Part, headers: Mapping[str, str]) -> str:
    """The declared type, lower case; text/plain where it is nonsense (RFC 2045 section 5.2)."""
    value = headers.get("content-type")
    if value is None:
        return part.get_default_type()
    kind = value.partition(";")[0].strip().lower()
    return kind if kind.count("/") == 1 else "text/plain"


def children(part: Part) -> list[Part] | None:
    """The parts of a multipart, None for a leaf."""
    payload = part._payload  # type: ignore[attr-defined]  # noqa: SLF001  # not in the stub
    return [child for child in payload if isinstance(child, Part)] if isinstance(payload, list) else None


def header_text(value: str) -> str:
    """A header as a person reads it: unfolded, encoded words decoded (RFC 2047); at most 20,000 characters."""
    value = " ".join(clean(value[:_MAX_HEADER_CHARS]).split())
    if "=?" not in value:
        return value
    return " ".join(_ENCODED_WORD.sub(_decode_word, _BETWEEN_WORDS.sub(r"\1\2", value)).split())


def _octets(value: str) -> bytes:
    """The octets the parser made ``value`` from; it shows those above 127 as lone surrogates."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value.encode("utf-8", "replace")


def _decode_word(match: re.Match[str]) -> str:
    label, encoding, text = match.groups()
    data = text.encode("ascii", "replace")
    data = decode_base64(data) if encoding in "bB" else binascii.a2b_qp(data, header=True)
    return decode(data, label.partition("*")[0])[0]


def decode_base64(data: bytes) -> bytes:
    """What is in ``data``, however damaged: strangers skipped, padding in the middle passed over."""
    data = data.translate(None, _NOT_BASE64)
    out = []
    for piece in data.split(b"="):
        whole = piece[: len(piece) - 1] if len(piece) % 4 == 1 else piece
        if whole:
            out.append(binascii.a2b_base64(whole + b"=" * (-len(whole) % 4)))
    return b"".join(out)


def body_bytes(part: Part, headers: Mapping[str, str]) -> bytes:
    """The decoded octets of a leaf. Unknown transfer encodings are taken as they are."""
    # Not get_payload(): it decodes octets above 127 by the declared charset, whatever that names, with losses.
    payload = part._payload  # type: ignore[attr-defined]  # noqa: SLF001  # not in the stub
    if not isinstance(payload, str):
        return b""
    data = _octets(payload)
    encoding = headers.get("content-transfer-encoding", "").strip().lower()
    if encoding.startswith("base64"):
        return decode_base64(data)
    if encoding.startswith("quoted-printable"):
        return binascii.a2b_qp(data)
    return data


def author_of(values: list[str]) -> tuple[str, str]:
    """(address, display name) of the From headers: lower case, '' where absent or not exactly one."""
    if len(values) != 1:
        return "", ""
    value = values[0][:_MAX_AUTHOR_CHARS]
    bare = _COMMENT.sub(" ", _QUOTED.sub(" ", value))
    angles = _ANGLE.findall(bare)
    outside = _ANGLE.sub(" ", bare)
    name = header_text(_ANGLE.sub(" ", value)).replace('"', "").strip()
    if len(angles) > 1 or (angles and "," in outside and "@" in outside):
        return "", name
    found = _ADDRESS.findall(angles[0] if angles else outside)
    if len(found) != 1:
        return "", name
    return found[0].lower().rstrip("."), name if angles else ""


def address_domain(values: list[str]) -> str:
    """The domain of the first address in a header, lower case; '' where there is none."""
    for value in values[:1]:
        found = _ADDRESS.search(value[:_MAX_HEADER_CHARS])
        if found:
            return found[0].rpartition("@")[2].lower().rstrip(".>")
    return ""

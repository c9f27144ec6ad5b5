"""Raw mail as a tree of parts, header text decoded, addresses found: the syntax below ``core.message``.

The standard library's parser with the compat32 policy does the work; what it does in quadratic time or without a
bound is capped here before it sees it. Nothing is ever generated from the result (RFC 5322, RFC 2045, RFC 2047).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from email.feedparser import BytesFeedParser
from email.message import Message as Part
from email.policy import compat32

from filterd.core.charset import decode
from filterd.core.regular import read_regular
from filterd.errors import Unscannable

MAX_PARAMETERS_CHARS = 2_000
"""Content-Type is read so far: the standard library splits parameters in quadratic time."""
_MAX_HEADER_CHARS = 20_000
"""Decoded so far, per header."""
_MAX_AUTHOR_CHARS = 4_000

_BLANK_LINES = (b"\n\r\n", b"\n\n", b"\r\r")
_BOUNDARY_LINE = re.compile(rb"(?:\A|\n)--([^\r\n]{1,2048})")
_LONG_BYTES = 4_194_304
_HAS_PARTS = re.compile(rb"multipart/|message/", re.IGNORECASE)
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]{0,4000})\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(=\?[^?\s]{1,60}\?[bBqQ]\?)")
_ADDRESS = re.compile(r"[^\s@<>()\[\]\",;:\\]{1,128}@[^\s@<>()\[\]\",;:\\]{1,255}")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_COMMENT = re.compile(r"\([^()]*\)")
_ANGLE = re.compile(r"<([^<>]{0,400})>")
_NOT_BASE64 = bytes(c for c in range(256) if not (chr(c).isascii() and chr(c).isalnum()) and chr(c) not in "+/=")


class _Parser(BytesFeedParser):
    """The standard parser, stopped where a message nests or multiplies past its limits."""

    def __init__(self, max_parts: int, max_depth: int) -> None:
        super().__init__(policy=compat32)
        self._max_parts, self._max_depth = max_parts, max_depth
        self.parts = 0
        self.depth = 0
        self.is_cut = False

    def _new_message(self) -> None:
        self.parts += 1
        depth = len(self._msgstack)  # type: ignore[attr-defined]  # the stub leaves it out
        self.depth = max(self.depth, depth)
        if self.parts > self._max_parts:
            raise Unscannable(f"more than {self._max_parts} parts")
        if depth > self._max_depth:
            raise Unscannable(f"parts nest deeper than {self._max_depth}")
        super()._new_message()  # type: ignore[misc]  # the stub leaves it out

    def _parse_headers(self, lines: list[str]) -> None:
        super()._parse_headers(lines)  # type: ignore[misc]  # the stub leaves it out
        headers: list[tuple[str, str]] = self._cur._headers  # type: ignore[attr-defined]  # noqa: SLF001  # not in the stub
        for i, (name, value) in enumerate(headers):
            if len(value) > MAX_PARAMETERS_CHARS and name.lower().startswith("content-"):
                headers[i] = (name, value[:MAX_PARAMETERS_CHARS])
                self.is_cut = True


def skip_mbox_line(raw: bytes) -> bytes:
    """``raw`` without a first line ``From ...`` that an mbox left (RFC 4155)."""
    return raw[raw.find(b"\n") + 1 :] if raw.startswith(b"From ") and b"\n" in raw[:1_000] else raw


def parse_tree(raw: bytes, max_header_bytes: int, max_parts: int, max_depth: int) -> tuple[Part, int, int, bool]:
    """The tree, its parts, its depth, and whether a Content-* header was cut. Raises Unscannable."""
    ends = (raw.find(mark, 0, max_header_bytes + 4) for mark in _BLANK_LINES)
    if len(raw) > max_header_bytes and all(end < 0 for end in ends):
        raise Unscannable(f"more than {max_header_bytes} header bytes")
    if raw.count(b"\n--") > max_parts * 2 and _declared_boundary_lines(raw) > max_parts * 2:
        raise Unscannable(f"more than {max_parts} parts")
    raw = _shortened(raw)
    tree = read_regular(raw, max_parts, max_depth, MAX_PARAMETERS_CHARS)
    if tree is not None:
        return tree.root, tree.parts, tree.depth, tree.is_cut
    return _parse_any(raw, max_parts, max_depth)


def _parse_any(raw: bytes, max_parts: int, max_depth: int) -> tuple[Part, int, int, bool]:
    """The same by the standard library, which reads everything."""
    parser = _Parser(max_parts, max_depth)
    parser.feed(raw)
    return parser.close(), parser.parts, parser.depth, parser.is_cut


def _shortened(raw: bytes) -> bytes:
    """A long message without parts, its middle left out: line by line, 25 MB of empty lines take seconds."""
    if len(raw) <= _LONG_BYTES or _HAS_PARTS.search(raw, 0, _LONG_BYTES // 2):
        return raw
    cut = raw.find(b"\n", _LONG_BYTES * 3 // 4) + 1 or _LONG_BYTES * 3 // 4
    rest = raw.find(b"\n", len(raw) - _LONG_BYTES // 4) + 1 or len(raw) - _LONG_BYTES // 4
    return raw[:cut] + raw[max(rest, cut) :]


def _declared_boundary_lines(raw: bytes) -> int:
    """Lines that may end a part; all that begin with two hyphens where a boundary is written in a rare way."""
    if re.search(rb"boundary\s*\*", raw, re.IGNORECASE) or b"\\" in b"".join(_boundary_texts(raw)):
        return raw.count(b"\n--")
    names = set(_boundary_texts(raw))
    lines = (line.rstrip(b" \t") for line in _BOUNDARY_LINE.findall(raw))
    return sum(1 for line in lines if line in names or line.removesuffix(b"--") in names)


def _boundary_texts(raw: bytes) -> list[bytes]:
    found = re.findall(rb"boundary\s*=\s*(?:\"([^\"\r\n]{0,2048})|([^\s;\"]{1,2048}))", raw, re.IGNORECASE)
    return [quoted or bare for quoted, bare in found]


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

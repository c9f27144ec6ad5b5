"""An e-mail taken apart for an attack, and a new, simple one built around the same headers.

What is kept: every header that does not describe the body, byte for byte, and of the body what a reader sees, where it
leads and how many pictures it shows. What is not: attachments, the markup, the plain version beside HTML. A measurement
therefore compares an attacked message with one that was only rebuilt (RFC 5322, RFC 2045).
"""

from __future__ import annotations

import base64
import html
import random
import re
from collections.abc import Iterable
from dataclasses import dataclass

from filterd.core.message import ParseLimits, parse_email
from filterd.core.rfc822 import skip_mbox_line
from filterd.errors import Unscannable

_LINE = re.compile(rb"\r\n|\r|\n")
_NAME = re.compile(rb"[!-9;-~]+[ \t]*:")
_REPLACED = (b"content-", b"mime-version")
_BASE64_LINE = 76
_MAX_LINKS = 50
_MAX_IMAGES = 20
_WRITER = (b"from", b"subject")
"""Headers that a message keeps when the others are dropped: without them no client shows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An e-mail as an attack sees it."""

    head: tuple[bytes, ...]
    """Header lines without those of the body, continuation lines included, each without its line end."""
    text: str
    """What a reader sees."""
    is_html: bool
    links: tuple[str, ...] = ()
    images: int = 0


def opened(raw: bytes) -> Opened:
    """The message; one that cannot be parsed has what follows its headers as its text."""
    lines = _LINE.split(skip_mbox_line(raw))
    end = lines.index(b"") if b"" in lines else len(lines)
    head = tuple(_kept(lines[:end]))
    try:
        message = parse_email(raw, ParseLimits())
    except Unscannable:
        return Opened(head=head, text=b"\n".join(lines[end + 1 :]).decode("utf-8", "replace"), is_html=False)
    return Opened(
        head=head,
        text=message.text,
        is_html=message.html_parts > 0,
        links=tuple(link.href for link in message.links[:_MAX_LINKS]),
        images=min(message.images, _MAX_IMAGES),
    )


def _kept(lines: Iterable[bytes]) -> Iterable[bytes]:
    """Header lines in their order but those of the body; what is no header line would end the headers early."""
    keeps = False
    for line in lines:
        if line[:1] not in (b" ", b"\t"):
            keeps = _NAME.match(line) is not None and not line.lower().startswith(_REPLACED)
        if keeps:
            yield line


def plain(message: Opened, text: str) -> bytes:
    """A message of one ``text/plain`` part."""
    return _built(message.head, "text/plain", "8bit", text.encode("utf-8", "replace"))


def encoded(message: Opened, text: str) -> bytes:
    """The same in base64 (RFC 2045 section 6.8)."""
    data = base64.b64encode(text.encode("utf-8", "replace"))
    lines = (data[at : at + _BASE64_LINE] for at in range(0, len(data), _BASE64_LINE))
    return _built(message.head, "text/plain", "base64", b"\r\n".join(lines))


def page(message: Opened, body: str) -> bytes:
    """A message of one ``text/html`` part around ``body``, with the message's links and pictures after it."""
    links = "".join(f'<p><a href="{html.escape(link)}"></a></p>' for link in message.links)
    pictures = '<img src="https://static.example/p.png">' * message.images
    text = f"<html><body>\r\n{body}\r\n{links}{pictures}\r\n</body></html>"
    return _built(message.head, "text/html", "8bit", text.encode("utf-8", "replace"))


def rebuilt(message: Opened, text: str) -> bytes:
    """The message with ``text`` for what a reader sees, in HTML where it was in HTML."""
    return page(message, paragraphs(text)) if message.is_html else plain(message, text)


def paragraphs(text: str) -> str:
    """Text as HTML: every line that is not empty in a paragraph of its own."""
    return "\r\n".join(f"<p>{html.escape(line)}</p>" for line in text.splitlines() if line.strip())


def fewer_headers(raw: bytes, rng: random.Random, strength: float) -> bytes:
    """The message, its body untouched, without a share of its headers, [0, 1]; From, Subject and the body's stay."""
    start = skip_mbox_line(raw)
    end = re.search(rb"\r\n\r\n|\n\n|\r\r", start)
    if end is None:
        return raw
    out: list[bytes] = []
    keeps = True
    for line in _LINE.split(start[: end.start()]):
        if line[:1] not in (b" ", b"\t"):
            name = line.partition(b":")[0].strip().lower()
            keeps = name in _WRITER or name.startswith(_REPLACED) or rng.random() >= strength
        if keeps:
            out.append(line)
    return b"\r\n".join(out) + start[end.start() :]


def _built(head: tuple[bytes, ...], kind: str, transfer: str, body: bytes) -> bytes:
    own = (
        b"MIME-Version: 1.0",
        f"Content-Type: {kind}; charset=utf-8".encode(),
        f"Content-Transfer-Encoding: {transfer}".encode(),
    )
    return b"\r\n".join((*head, *own, b"", body))

"""What hostile messages are drawn from: sizes, texts, odd octets, and mail around them."""

from __future__ import annotations

import base64
import math
import random
from collections.abc import Callable, Sequence

Make = Callable[[random.Random], bytes]

WORDS = b"claim your prize today lottery winner invoice meeting garden train password verify account free".split()
ODD = (b"\0", b"\r", b"\n", b"\xff", b"\x80", b"\x1b", b"\x0b", b"\x0c", b"\x85", b"\t", b" ", b'"', b"\\", b"(", b"=?")


def size(rng: random.Random, most: int, least: int = 1) -> int:
    """A number between ``least`` and ``most``, small and large ones alike often (uniform in its logarithm)."""
    return round(math.exp(rng.uniform(math.log(least), math.log(most))))


def text(rng: random.Random, most: int = 60) -> bytes:
    """Plain words."""
    return b" ".join(rng.choices(WORDS, k=size(rng, most)))


def odd(rng: random.Random, data: bytes, most: int = 8) -> bytes:
    """``data`` with a few octets that stand where none is expected."""
    out = bytearray(data)
    for _ in range(size(rng, most)):
        at = rng.randrange(len(out) + 1)
        out[at:at] = rng.choice(ODD)
    return bytes(out)


def mail(headers: bytes, body: bytes) -> bytes:
    """A message from somebody to somebody."""
    head = b"From: Eve <eve@example.com>\r\nTo: bob@example.net\r\nSubject: hello\r\nMIME-Version: 1.0\r\n"
    return head + headers + b"\r\n" + body


def page(html: bytes, encoding: bytes = b"8bit") -> bytes:
    """A message that is an HTML page."""
    return mail(b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: " + encoding + b"\r\n", html)


def plain(body: str | bytes, charset: bytes = b"utf-8") -> bytes:
    """A message of plain text."""
    octets = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    return mail(b"Content-Type: text/plain; charset=" + charset + b"\r\n", octets)


def multipart(parts: Sequence[bytes], kind: bytes = b"mixed", boundary: bytes = b"b") -> bytes:
    """A message of ``parts``, each with its own headers."""
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    head = b"Content-Type: multipart/" + kind + b'; boundary="' + boundary + b'"\r\n'
    return mail(head, body + b"--" + boundary + b"--\r\n")


def lines(data: bytes) -> bytes:
    """Base64 in lines."""
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def repeated(
    piece: bytes | str, most: int, before: bytes = b"", after: bytes = b"", of: Callable[[bytes], bytes] = bytes
) -> Make:
    """Messages with ``piece`` up to ``most`` times, put into mail by ``of``."""
    octets = piece.encode("utf-8", "surrogatepass") if isinstance(piece, str) else piece

    def make(rng: random.Random) -> bytes:
        return of(before + octets * size(rng, most) + after)

    return make


def header(name: bytes, piece: bytes, most: int, before: bytes = b"", after: bytes = b"") -> Make:
    """Messages with one header of ``piece`` up to ``most`` times; sometimes folded."""

    def make(rng: random.Random) -> bytes:
        value = before + piece * size(rng, most) + after
        if rng.random() < 0.3:
            step = rng.randrange(40, 900)
            value = b"\r\n ".join(value[i : i + step] for i in range(0, len(value), step))
        return mail(name + b": " + value + b"\r\n", text(rng))

    return make

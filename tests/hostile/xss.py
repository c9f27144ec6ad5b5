"""Mail and SMS that carry markup in every field that people are shown: row D7 of ``docs/threats.md``."""

from __future__ import annotations

import base64
import quopri
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from urllib.parse import quote_from_bytes

from tests.hostile.xss_payloads import payloads


@dataclass(frozen=True, slots=True, kw_only=True)
class HostileMail:
    """One payload, in a mail and in an SMS."""

    number: int
    payload: str
    """Names an address below ``https://canary.invalid/`` and sets ``window.__pwned``."""
    sender: str
    """Envelope sender of the mail."""
    raw: bytes
    """Display name, address, subject, recipient, date, id, attachment and both bodies are the payload."""
    sms_sender: str
    sms_text: str


def messages(count: int, seed: int) -> Iterator[HostileMail]:
    """``count`` messages with one payload after the other, in encodings drawn by ``seed``."""
    rng = random.Random(seed)
    for number, payload in enumerate(islice(cycle(payloads()), count)):
        yield HostileMail(
            number=number,
            payload=payload,
            sender=f'"{_quoted(payload)}"@example.com',
            raw=_mail(rng, payload),
            sms_sender=payload,
            sms_text=payload,
        )


def _mail(rng: random.Random, payload: str) -> bytes:
    octets = payload.encode("utf-8", "surrogatepass")
    lines = (
        b'From: "' + _header(rng, payload) + b'" <"' + _flat(_quoted(payload)) + b'"@example.com>',
        b"To: " + _header(rng, payload) + b" <bob@example.net>",
        b"Cc: " + _header(rng, payload),
        b"Reply-To: " + _header(rng, payload),
        b"Subject: " + _header(rng, payload),
        b"Date: " + _flat(payload),
        b"Message-ID: <" + _flat(payload) + b"@example.com>",
        b"MIME-Version: 1.0",
        b'Content-Type: multipart/mixed; boundary="b"',
    )
    parts = (
        _body(rng, b"text/plain", octets),
        _body(
            rng, b"text/html", rng.choice((b"", b"<p>", b"<table><tr><td>", b"<!DOCTYPE html><html><body>")) + octets
        ),
        _attachment(rng, payload),
    )
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body + b"--b--\r\n"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _flat(text: str) -> bytes:
    """On one line, as octets."""
    return b" ".join(text.encode("utf-8", "surrogatepass").replace(b"\0", b"").splitlines())


def _header(rng: random.Random, text: str) -> bytes:
    """As octets, folded, or in encoded words (RFC 2047) of one charset or another."""
    octets = text.encode("utf-8", "surrogatepass")
    way = rng.randrange(6)
    if way == 0:
        return _flat(text)
    if way == 1:
        return _flat(text).replace(b" ", b"\r\n ")
    if way == 2:
        return b" ".join(
            b"=?utf-8?b?" + base64.b64encode(octets[i : i + 40]) + b"?=" for i in range(0, len(octets), 40)
        )
    if way == 3:
        return b"=?utf-7?q?" + _q(text.encode("utf-7", "replace")) + b"?="
    if way == 4:
        return b"=?iso-8859-1?Q?" + _q(octets) + b"?="
    return b"=?utf-8?q?" + _q(octets) + b"?=\r\n =?utf-8?b?" + base64.b64encode(octets) + b"?="


def _q(octets: bytes) -> bytes:
    return b"".join(b"=%02X" % octet for octet in octets)


def _body(rng: random.Random, kind: bytes, octets: bytes) -> bytes:
    """A part of text in one of the transfer encodings, and sometimes another charset than it says."""
    charset = rng.choice((b"utf-8", b"us-ascii", b"utf-7", b"iso-8859-1", b"x-unknown"))
    head = b"Content-Type: " + kind + b"; charset=" + charset + b"\r\nContent-Transfer-Encoding: "
    way = rng.randrange(3)
    if way == 0:
        return head + b"8bit\r\n\r\n" + octets
    if way == 1:
        return head + b"quoted-printable\r\n\r\n" + quopri.encodestring(octets)
    return head + b"base64\r\n\r\n" + base64.encodebytes(octets)


def _attachment(rng: random.Random, payload: str) -> bytes:
    """A part whose name and type are the payload; its name quoted, in an encoded word or after RFC 2231."""
    octets = payload.encode("utf-8", "surrogatepass")
    names = (
        b'name="' + _flat(_quoted(payload)) + b'"',
        b'name="=?utf-8?b?' + base64.b64encode(octets) + b'?="',
        b"name*=utf-8''" + quote_from_bytes(octets, safe="").encode(),
        b"name*0*=utf-8''" + quote_from_bytes(octets, safe="").encode() + b'; name*1="/../x.svg"',
    )
    name = rng.choice(names)
    kind = rng.choice((b"image/svg+xml", b"text/xml", b"application/" + _flat(payload), _flat(payload)))
    head = b"Content-Type: " + kind + b"; " + name + b"\r\nContent-Disposition: attachment; file" + name + b"\r\n"
    return head + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(octets)

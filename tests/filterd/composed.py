"""Messages composed from a seed, for measuring the scan path and for comparing it with itself: no corpus is needed.

They have the shapes that mail has: plain text of several lengths, HTML beside plain text, an attachment, octets above
127, obfuscated words; word lengths and frequencies are those of ordinary text (Zipf's law over syllables).
"""

from __future__ import annotations

import base64
import random

_SYLLABLES = (
    *("ba", "be", "bi", "bo", "co", "da", "de", "di", "en", "er", "fa", "go", "in", "ka", "la", "le", "li", "ma"),
    *("me", "mi", "na", "ne", "no", "on", "pa", "pe", "ra", "re", "ri", "ro", "sa", "se", "si", "ta", "te", "ti"),
)
_TRACE = (
    "Received: from mail{0}.example.net (mail{0}.example.net [192.0.2.{0}])\r\n"
    "\tby mx.example.org (Postfix) with ESMTPS id 4Xabc{0}\r\n"
    "\tfor <team@example.org>; Tue, 24 Nov 2026 10:0{0}:00 +0000 (UTC)\r\n"
)
_ODD = (
    "http://shop{0}.example.com/offer/today?id={0}",
    "$1,{0}00.00",
    "+49 30 12345{0}67",
    "ann{0}@example.org",
    "10:3{0}",
    "2026-11-2{0}",
    "V1AGRA",
    "r\u0435c\u0435ipt",
    "gr\u00fc\u00dfe",
    "100%",
    "!!!",
    "don't",
    "www.example{0}.co.uk",
    "A{0}B7C99X12QQ",
)


def text(seed: int, words: int) -> str:
    """About ``words`` words of made-up language, one in twelve a link, an amount, a number or a trick."""
    draw = random.Random(seed)
    lines, line = [], []
    for _ in range(words):
        rank = int(draw.paretovariate(0.7))
        word = "".join(random.Random(rank % 9_000).choices(_SYLLABLES, k=1 + rank % 4))
        odd = draw.random() < 1 / 12
        line.append(draw.choice(_ODD).format(draw.randrange(10)) if odd else word.title() if rank % 7 == 1 else word)
        if len(line) == 11:
            lines.append(" ".join(line) + draw.choice((",", ".", "", "!")))
            line = []
    trick = ["f r e e  m o n e y"] if words > 30 and seed % 10 == 0 else []
    return "\r\n".join([*lines, " ".join(line), *trick])


def mail(seed: int) -> bytes:
    """An e-mail; its shape and length follow from ``seed``."""
    draw = random.Random(seed)
    head = "".join(_TRACE.format(draw.randrange(1, 10)) for _ in range(3)) + (
        f"From: Ann {text(seed, 1)} <ann@sender{seed % 50}.example>\r\nTo: team@example.org\r\n"
        f"Subject: {draw.choice(('', 'Re: ', '[list] '))}{text(seed + 1, 6)}\r\n"
        f"Message-ID: <{seed}@sender{seed % 50}.example>\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n"
        "MIME-Version: 1.0\r\nX-Mailer: Example Mail 3.1\r\nList-Id: <team.example.org>\r\n"
    )
    subject_is_ascii = head.encode("utf-8")
    words = draw.choice((20, 60, 120, 200, 400))
    body = text(seed + 2, words).encode()
    kind = seed % 4
    if kind == 0:
        return subject_is_ascii + b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + body + b"\r\n"
    if kind == 1:
        return subject_is_ascii + b"\r\n" + body.replace(b"\r\n", b"\n") + b"\n"
    page = _page(seed, body)
    plain = b"--=_b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + body + b"\r\n"
    rest = b'--=_b\r\nContent-Type: text/html; charset="utf-8"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    rest += base64.encodebytes(page).replace(b"\n", b"\r\n")
    if kind == 3:
        rest += b'--=_b\r\nContent-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
        rest += b'Content-Disposition: attachment; filename="a.pdf"\r\n\r\n' + base64.encodebytes(bytes(3_000))
    head_of_parts = b'Content-Type: multipart/alternative; boundary="=_b"\r\n\r\n'
    return subject_is_ascii + head_of_parts + plain + rest + b"--=_b--\r\n"


def sms(seed: int) -> bytes:
    """A text message of about 20 words."""
    return text(seed, random.Random(seed).randrange(6, 34)).replace("\r\n", " ").encode()


def _page(seed: int, body: bytes) -> bytes:
    rows = b"".join(
        b'<tr><td style="color:#333;font-size:14px"><p>%s <a href="https://site%d.example.com/%d">more</a></p></td></tr>'
        % (line, seed % 30, n)
        for n, line in enumerate(body.split(b"\r\n"))
    )
    hidden = b'<div style="display:none">preview words</div>' if seed % 3 == 0 else b""
    tail = b"<img src='http://x.example/p.gif' alt='logo'></body></html>"
    return b"<html><head><title>x</title></head><body>%s<table>%s</table>%s" % (hidden, rows, tail)

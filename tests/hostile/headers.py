"""Hostile headers for the splice: forged ones, first lines that take ours in, injection; rows B9, B10 and B11."""

from __future__ import annotations

import random
from collections.abc import Mapping

from tests.hostile.draw import Make, mail, odd, size, text

NAMES = (
    *b"X-Spam-Status X-Spam-Flag X-Spam-Score X-Spam-Level X-Spam X-Spamd-Result X-Spamd-Bar X-Rspamd-Score".split(),
    *b"X-Rspamd-Action X-Filterd-Id X-Filterd-Reason X-Filterd-End X-Filterd-Release Authentication-Results".split(),
)
_HONEST = b"Subject Received X-Mailer DKIM-Signature X-Spamassassin-Notes ARC-Authentication-Results List-Id".split()
_VALUES = (b"No", b"No, score=-9", b"mx.example; spf=pass", b"gw.example; dkim=pass", b"", b"\r\n folded", b"(((", b'"')
_ENDS = (b"\r\n",) * 6 + (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\t\r\n", b" \r\n")


def _name(rng: random.Random, name: bytes) -> bytes:
    """``name`` as a forger writes it: in any case, with spaces, NUL and octets that some readers drop."""
    out = bytes(c ^ 0x20 if chr(c).isalpha() and rng.random() < 0.4 else c for c in name)
    if rng.random() < 0.4:
        at = rng.randrange(len(out) + 1)
        out = out[:at] + rng.choice((b"\0", b"\xff", b" ", b"\t", b"\r\n ", b"\x0b", b"\x7f")) + out[at:]
    return out


def _header(rng: random.Random) -> bytes:
    name = _name(rng, rng.choice(NAMES)) if rng.random() < 0.6 else rng.choice(_HONEST)
    return name + rng.choice((b":", b": ", b" :", b"\t:", b":\r\n ", b"")) + rng.choice(_VALUES) + rng.choice(_ENDS)


def _forged(rng: random.Random) -> bytes:
    head = b"".join(_header(rng) for _ in range(size(rng, 60)))
    return head + mail(b"", text(rng) + b"\r\nX-Spam-Status: in the body\r\n")


def _flood(rng: random.Random) -> bytes:
    """Forged headers by the thousand: all go, in linear time."""
    return _header(rng) * size(rng, 8_000) + mail(b"", text(rng))


def _behind_a_stray(rng: random.Random) -> bytes:
    """A forged header behind a CR or LF that stands alone: a header for some readers only."""
    stray = rng.choice((b"\r", b"\n", b"\n\n", b"\r\r", b"\r\n\r", b"\n\r\n"))
    return b"Subject: a" + stray + _header(rng) + mail(b"", text(rng))


def _first_line(rng: random.Random) -> bytes:
    first = rng.choice(
        (
            b" ",
            b"\t",
            b"",
            b"\r\n",
            b"\n",
            b"\r",
            b"From x y\r\n",
            b">From x\r\n",
            b":",
            b"\0",
            b"\xff",
            b"no header",
            b" \r\n ",
            b"From :",
        )
    )
    rest = rng.choice(
        (b"", b"X-Spam-Status: No\r\n", b"INJECTED=ham\r\n", b"Subject: x", b"Subject: x\r\n", mail(b"", text(rng)))
    )
    return first + rest


def _no_end(rng: random.Random) -> bytes:
    """Headers and nothing else, cut anywhere."""
    made = b"".join(_header(rng) for _ in range(size(rng, 20))) + mail(b"", text(rng))
    return made[: rng.randrange(len(made) + 1)]


def _injection(rng: random.Random) -> bytes:
    evil = rng.choice(
        (
            b"\r\nX-Evil: 1",
            b"\x1b]0;x\x07\x1b[2J",
            b'","level":"error","event":"evil',
            b"\xe2\x80\xa8\n{}",
            b"%0d%0aX: y",
            b"\0'; drop table held;--",
            b"<script>x</script>",
            b"{{7*7}}",
            b"=cmd|' /C calc'!A0",
        )
    )
    name = rng.choice(
        (b"Subject", b"From", b"To", b"Message-ID", b"Content-Type", b"Content-Disposition: attachment; filename")
    )
    mark = b"=" if b";" in name else b": "
    return name + mark + b"a" + evil * size(rng, 50) + b"\r\n" + mail(b"", text(rng))


HEADERS: Mapping[str, Make] = {
    "b9-forged": _forged,
    "b9-flood": _flood,
    "b9-behind-a-stray": _behind_a_stray,
    "b9-odd": lambda rng: odd(rng, _forged(rng), 30),
    "b10-first-line": _first_line,
    "b10-no-end": _no_end,
    "b11-injection": _injection,
}

"""Hostile encodings, archives, Unicode, charsets and texts: rows B4, B6, B7 and B12 of ``docs/threats.md``."""

from __future__ import annotations

import base64
import gzip
import io
import random
import zipfile
import zlib
from collections.abc import Callable, Mapping

from filterd.core.envelope import Channel
from tests.hostile.draw import Make, lines, mail, multipart, odd, page, plain, repeated, size, text
from trainer.attacks import ATTACKS, Borrowed

CHARSETS = (
    *b"zlib hex rot13 bz2 base64 uu quopri idna punycode unicode_escape raw_unicode_escape undefined mbcs oem".split(),
    *b"utf-7 utf-8-sig utf-16 utf-16-be utf-32 iso-2022-jp iso-2022-kr hz big5 gb18030 shift_jis cp037 koi8-r".split(),
    *(b"utf-8\0", b"x" * 300, b"\xff\xfe", b"../../etc/passwd", b"utf-8*en", b"", b'"', b"us-ascii", b"unknown-8bit"),
)
_ESCAPES = (b"\x1b$B", b"\x1b(B", b"\x1b$)C", b"\x0e", b"\x0f", b"~{", b"~}", b"+AGE-", b"+", b"\x1b")
_BROKEN = (b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff", b"\xe2\x82", b"\x80", b"\xc3", b"\xf0\x9f")
_MARKS = "\u0301\u0316\u0323\u0489\u20dd\u05b0\u0e34\u3099"
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\u115f\u3164\ufe0f\u180e\u2063"
_OVERRIDES = "\u202e\u202d\u202c\u2066\u2067\u2069\u200e\u200f"
_EXPANDING = "\ufdfa\ufdfb\u3300\u33ff\u1fb7\u0390\ufb03\u00bd\u2a74"
_BORROWED = Borrowed(
    good_words=("meeting", "garden", "agenda", "invoice", "train"),
    ham_words=("garden", "train", "dinner"),
    ham_texts=("see you at dinner", "the train is late"),
)


def _encoded(rng: random.Random) -> bytes:
    """Base64 and quoted-printable with strangers, padding and line breaks anywhere."""
    data = lines(text(rng, 400) * size(rng, 300))
    made = rng.choice(
        (
            data,
            b"=" * size(rng, 1_000_000),
            data.replace(b"\r\n", b""),
            odd(rng, data, 200),
            b"=\r\n" * size(rng, 300_000),
            b"=3D" * size(rng, 200_000),
            b"=" + data,
            data[:-3],
        )
    )
    encoding = rng.choice((b"base64", b"BASE64", b"quoted-printable", b"base64 (c)", b" base64", b"base64, 7bit"))
    kind = rng.choice((b"text/plain", b"text/html", b"application/octet-stream; name=a.html", b"message/rfc822"))
    return mail(b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: " + encoding + b"\r\n", made)


def _zip(rng: random.Random) -> bytes:
    """A zip of zeros, as deep and as wide as drawn; sometimes it lies about its sizes."""
    data = bytes(size(rng, 2_000_000))
    for level in range(rng.randrange(1, 4)):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for i in range(size(rng, 30)):
                archive.writestr(f"{'../' * level}{i}.exe", data)
        data = file.getvalue()
    if rng.random() < 0.5:
        data = data.replace(b"PK\x01\x02", b"PK\x01\x02\xff\xff") if rng.random() < 0.5 else odd(rng, data, 50)
    return data


def _archive(rng: random.Random) -> bytes:
    makers: Mapping[bytes, Callable[[random.Random], bytes]] = {
        b"zip": _zip,
        b"gz": lambda r: gzip.compress(bytes(size(r, 4_000_000))),
        b"z": lambda r: zlib.compress(bytes(size(r, 4_000_000))),
        b"xz": lambda r: b"\xfd7zXZ\0" + r.randbytes(200),
        b"zst": lambda r: b"\x28\xb5\x2f\xfd" + r.randbytes(200),
        b"eml.zip": _zip,
    }
    ending = rng.choice(tuple(makers))
    head = b'Content-Type: application/octet-stream; name="a.%s"\r\nContent-Transfer-Encoding: base64\r\n\r\n' % ending
    return multipart([b"Content-Type: text/plain\r\n\r\n" + text(rng), head + lines(makers[ending](rng))])


def _many_encoded(rng: random.Random) -> bytes:
    """Parts whose decoded size adds up."""
    head = b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return multipart([head + lines(bytes(size(rng, 60_000)))] * size(rng, 100))


def _marks(rng: random.Random) -> bytes:
    marks = "".join(rng.choices(_MARKS, k=size(rng, 8)))
    return plain(text(rng).decode() + marks * size(rng, 100_000) + "winner")


def _sprinkled(characters: str) -> Make:
    def make(rng: random.Random) -> bytes:
        words = text(rng, 3_000).decode()
        out = "".join(c + rng.choice(characters) * rng.randrange(4) for c in words)
        return plain(out + rng.choice(characters) * size(rng, 60_000))

    return make


def _charset(rng: random.Random) -> bytes:
    body = text(rng, 200)
    for _ in range(size(rng, 60)):
        body += rng.choice((*_ESCAPES, *_BROKEN, text(rng, 3))) * size(rng, 30)
    charset = rng.choice(CHARSETS)
    subject = b"Subject: =?" + charset.replace(b"\0", b"") + b"?b?" + base64.b64encode(body[:600]) + b"?=\r\n"
    return subject + rng.choice((plain, lambda b, c: page(b).replace(b"utf-8", c)))(body, charset)


def _broken(rng: random.Random) -> bytes:
    return plain(b"".join(rng.choice((*_BROKEN, text(rng, 2))) for _ in range(size(rng, 30_000))), rng.choice(CHARSETS))


def _wide(rng: random.Random) -> bytes:
    codec = rng.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7"))
    return plain(odd(rng, (text(rng, 300).decode() + "\ufdfa\U000e0041").encode(codec)), codec.encode())


def _evasion(rng: random.Random) -> bytes:
    """A plain spam message after one of the attacks that training and evaluation use."""
    name = rng.choice(tuple(ATTACKS))
    spam = mail(
        b"Content-Type: text/plain\r\n", text(rng, 80) + b" https://prizes.example/claim?now=1 " + text(rng, 80)
    )
    return ATTACKS[name](spam, Channel.EMAIL, rng, _BORROWED)


def _split(rng: random.Random) -> bytes:
    """Words cut by markup, by invisible text, by zero-sized letters."""
    cut = rng.choice((b"<!-- x -->", b"<b></b>", b"<span style=font-size:0>zq</span>", b"&shy;", b"&#8203;", b"<wbr>"))
    words = text(rng, 600)
    return page(b"".join(bytes((c,)) + (cut if rng.random() < 0.3 else b"") for c in words))


TEXTS: Mapping[str, str] = {
    "numbers": "1 ",
    "dashes": "1-",
    "dots": "a.",
    "at": "a@",
    "addresses": "a@b.example ",
    "schemes": "http://",
    "hosts": "www.a.",
    "shapes": "<d:",
    "spaced": "l o t t e r y ",
    "letters": "a ",
    "money": "$1",
    "percent": "%",
    "phones": "+1(234)567-89",
    "digits": "1",
    "leet": "l0tt3ry",
    "footers": "_" * 20 + "\n",
    "footer-words": "\n____________________\nmailing list\n",
    "defanged": "a[.]",
    "han": "\u4e2d",
    "mixed": "p\u0430",
    "signs": "!?",
    "emoji": "\U0001f469\u200d\U0001f52c",
    "jamo": "\u1100\u1161\u11a8",
    "tabs": "\t ",
    "quotes": "> ",
}
CONTENT: Mapping[str, Make] = {
    "b4-encoded": _encoded,
    "b4-archives": _archive,
    "b4-many-encoded": _many_encoded,
    "b6-marks": _marks,
    "b6-invisible": _sprinkled(_INVISIBLE),
    "b6-overrides": _sprinkled(_OVERRIDES),
    "b6-expanding": _sprinkled(_EXPANDING),
    "b6-tags": _sprinkled("".join(chr(0xE0020 + i) for i in range(96))),
    "b6-variations": _sprinkled("\ufe00\ufe0f\U000e0100\U000e01ef"),
    "b6-charsets": _charset,
    "b6-broken": _broken,
    "b6-wide": _wide,
    **{f"b7-{name}": repeated(piece, 400_000 // len(piece), of=plain) for name, piece in TEXTS.items()},
    "b7-subject-tags": repeated(b"[a] re: ", 20_000, before=b"Subject: ", after=b"\r\n\r\nx"),
    "b7-subject-marks": repeated(b"{*(", 40_000, before=b"Subject: ", after=b"spam\r\n\r\nx"),
    "b12-attacks": _evasion,
    "b12-split-words": _split,
}

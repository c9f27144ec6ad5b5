"""Hostile headers' syntax and structure: rows B1, B2, B3 and B8 of ``docs/threats.md``."""

from __future__ import annotations

import random
from collections.abc import Mapping

from tests.hostile.draw import Make, header, lines, mail, multipart, odd, plain, repeated, size, text

_LEAF = b"Content-Type: text/plain\r\n\r\nclaim your prize\r\n"
_CODECS = (b"punycode", b"idna", b"unicode_escape", b"utf-16", b"zlib", b"hex", b"undefined", b"utf-7", b"x" * 200)


def _file_name(rng: random.Random) -> bytes:
    """Names in every way RFC 2231 has, and some it has not."""
    codec, n = rng.choice(_CODECS), size(rng, 3_000)
    name = rng.choice(
        (
            b"filename*=" + codec + b"''" + b"a%41" * n,
            b"".join(b"filename*%d*=%s''%%D8%%00; " % (i, codec) for i in range(min(n, 500))),
            b"filename*0=a; " * n,
            b"filename*%d=x; filename*%d*=y" % (n, n * 10**9),
            b'filename="' + b'\\"' * n,
            b'filename="=?' + codec + b"?b?" + b"AAAA" * n + b'?="',
            b"filename=" + b"../" * n + b"etc/passwd",
        )
    )
    return mail(b"Content-Disposition: attachment; " + name + b"\r\n", text(rng))


def _odd_header(rng: random.Random) -> bytes:
    names = (b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Content-Type", b"Content-Disposition", b"Reply-To")
    value = rng.choice(
        (b"Ann <ann@example.org>", b"=?utf-8?q?a=20b?=", b'text/plain; charset="utf-8"; name=x', b"<a@b>")
    )
    return rng.choice(names) + b": " + odd(rng, value * size(rng, 40), 40) + b"\r\n" + mail(b"", text(rng))


def _uuencoded(rng: random.Random) -> bytes:
    head = b"Content-Transfer-Encoding: " + rng.choice((b"x-uuencode", b"uuencode", b"uue", b"x-uue")) + b"\r\n"
    return mail(
        head, b"begin 644 " + b"x" * size(rng, 500) + b"\n" + odd(rng, b"M" + b"~" * 60 + b"\n") * size(rng, 2_000)
    )


def _nested(rng: random.Random) -> bytes:
    """Multiparts in multiparts, as deep as 10,000."""
    depth = size(rng, 10_000)
    same = rng.random() < 0.3
    names = [b"b" if same else b"b%d" % i for i in range(depth)]
    kind = rng.choice((b"mixed", b"alternative", b"related", b"digest", b"signed"))
    heads = b"".join(
        b'Content-Type: multipart/%s; boundary="%s"\r\n\r\n--%s\r\n' % (kind, name, name) for name in names
    )
    ends = b"".join(b"--%s--\r\n" % name for name in reversed(names)) if rng.random() < 0.5 else b""
    return heads + _LEAF + ends


def _nested_messages(rng: random.Random) -> bytes:
    kind = rng.choice((b"message/rfc822", b"message/global", b"message/delivery-status", b"message/partial"))
    return (b"Content-Type: " + kind + b"\r\n\r\n") * size(rng, 10_000) + mail(b"", text(rng))


def _nested_both(rng: random.Random) -> bytes:
    inner = mail(b"", text(rng))
    for _ in range(size(rng, 60)):
        inner = multipart([b"Content-Type: message/rfc822\r\n\r\n" + inner, _LEAF], boundary=b"b%d" % len(inner))
    return inner


def _nested_encoded(rng: random.Random) -> bytes:
    """A message within base64 within a message: forbidden (RFC 2045 section 6.4), seen all the same."""
    inner = mail(b"", text(rng))
    for _ in range(size(rng, 6)):
        inner = mail(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n", lines(inner))
    return inner


def _parts(rng: random.Random) -> bytes:
    part = rng.choice((b"\r\nx", b"Content-Type: text/html\r\n\r\n<p>x", _LEAF, b"", b"\r\n", b"X: " + b"y" * 100))
    kind = rng.choice((b"mixed", b"alternative", b"digest"))
    return multipart([part] * size(rng, 160_000 if len(part) < 5 else 5_000), kind)


def _boundaries(rng: random.Random) -> bytes:
    """Boundaries that are long, prefixes of each other, or made of what marks the syntax."""
    name = rng.choice((b"b" * size(rng, 4_000), b"--", b"a" * 70, b"b b ", b"'()+_,-./:=?", b"\xff\xfe", b'b\\"b'))
    near = (name, name + b"-", name[:-1], name + b" ", name + b"\t", b"-" + name, name + b"--", b" " + name)
    body = b"".join(b"--" + rng.choice(near) + b"\r\n" + _LEAF for _ in range(size(rng, 1_500)))
    return mail(b'Content-Type: multipart/mixed; boundary="' + name + b'"\r\n', body)


def _many_headers(rng: random.Random) -> bytes:
    name = rng.choice((b"X", b"Subject", b"Received", b"From", b"Content-Type", b"x" * 50, b":", b" "))
    return (name + b": " + text(rng, 4) + b"\r\n") * size(rng, 40_000) + b"\r\n" + text(rng)


def _full_size(rng: random.Random) -> bytes:
    """As large as is received, of short lines, below boundaries of every level that is read."""
    piece = rng.choice(
        (b"\n", b"\r\n", b"-\r\n", b"--\r\n", b"a\r\n", b"\r", b"--b\n", b"=\r\n", b"<p>\n", b"x" * 900 + b"\r\n")
    )
    names = [b"b%d" % i for i in range(rng.randrange(20))]
    head = b"".join(b'Content-Type: multipart/mixed; boundary="%s"\r\n\r\n--%s\r\n' % (name, name) for name in names)
    kind = rng.choice((b"text/plain", b"text/html", b"message/rfc822", b"application/pdf"))
    return head + b"Content-Type: " + kind + b"\r\n\r\n" + piece * (size(rng, 25 << 20, 1 << 20) // len(piece))


_TYPES = (
    *(b"text/plain", b"text/html", b"multipart/mixed; boundary=b", b"multipart/mixed; boundary=c", b"image/png", b"x"),
    *(b"message/rfc822", b"text/plain; charset=utf-16"),
)
_CODES = (b"7bit", b"base64", b"quoted-printable", b"x-uuencode", b"binary", b"base64 7bit", b"(c) base64", b"base64;")
_PLACES = (b"inline", b"attachment", b"attachment; filename=a.txt; filename=a.exe", b'attachment; filename="a\0.exe"')
DUPLICATES: Mapping[bytes, tuple[bytes, ...]] = {
    b"Content-Type": _TYPES,
    b"Content-Transfer-Encoding": _CODES,
    b"Content-Disposition": _PLACES,
}


def _ambiguous(rng: random.Random) -> bytes:
    """The same header twice or more, with values that lead elsewhere."""
    head = b""
    for name, values in DUPLICATES.items():
        for value in rng.choices(values, k=rng.randrange(4)):
            head += _odd_name(rng, name) + b": " + value + b"\r\n"
    inner = (
        b"--b\r\n\r\nfirst\r\n--c\r\n\r\nsecond\r\n--c--\r\n--b--\r\n" + lines(b"<p>lottery winner") + b"=3Cp=3Ewinner"
    )
    return mail(head, odd(rng, inner, 4))


def _odd_name(rng: random.Random, name: bytes) -> bytes:
    return rng.choice(
        (name, name, name.lower(), name + b" ", name + b"\t", name[:4] + b"\0" + name[4:], b"\xef\xbb\xbf" + name)
    )


def _parameters(rng: random.Random) -> bytes:
    """One parameter in several spellings: nobody knows which boundary, charset or name holds."""
    spellings = (
        b"%s=b",
        b'%s="c"',
        b"%s*=utf-8''c",
        b"%s*0=b; %s*1=c",
        b"%s = b",
        b"(x) %s=b",
        b'%s="b\\"',
        b"%s",
        b"%s=",
        b";%s=b",
    )
    names = (b"boundary", b"charset", b"name", b"BOUNDARY", b"bound\0ary")
    made = [s.replace(b"%s", rng.choice(names)) for s in rng.choices(spellings, k=size(rng, 200))]
    kind = rng.choice((b"multipart/mixed", b"text/html", b"multipart/(x)mixed", b'"multipart/mixed"', b"multipart/"))
    body = b"--b\r\n\r\nfirst lottery\r\n--c\r\n\r\nsecond winner\r\n--c--\r\n--b--\r\n"
    return mail(b"Content-Type: " + kind + b"; " + b"; ".join(made) + b"\r\n", body)


def _line_ends(rng: random.Random) -> bytes:
    """Line ends of every kind in one message: readers differ on where a header ends, and a part."""
    made = multipart([_LEAF, b"Content-Type: text/html\r\n\r\n<p>winner"])
    ends = (
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\r\n",
        b"\n\r",
        b"\r\n\0",
        b" \r\n",
        b"\x0b",
        b"\x0c",
        b"\xc2\x85",
        b"\xe2\x80\xa8",
    )
    return b"".join(line + rng.choice(ends) for line in made.split(b"\r\n"))


STRUCTURE: Mapping[str, Make] = {
    "b1-comments": header(b"To", b"(", 30_000),
    "b1-closed-comments": header(b"From", b"(a)", 20_000, after=b" a@example.org"),
    "b1-encoded-words": header(b"Subject", b"=?utf-8?q?a?= ", 18_000),
    "b1-open-encoded-words": header(b"Subject", b"=?utf-8?q?", 20_000),
    "b1-encoded-line-ends": header(b"Subject", b"=?utf-8?q?=0D=0AX-Spam-Status:_No?= ", 400),
    "b1-encoded-base64": header(b"From", b"=?utf-8?b?AAA?= ", 15_000, after=b"<a@b>"),
    "b1-semicolons": header(b"Content-Type", b";", 100_000, before=b"text/plain"),
    "b1-parameters": header(b"Content-Type", b"; a=b", 40_000, before=b"text/plain"),
    "b1-continued-parameters": header(b"Content-Type", b"; name*0*=utf-8''x; name*1*=y", 8_000, before=b"text/plain"),
    "b1-quotes": header(b"Content-Type", b'"\\', 60_000, before=b"text/plain; name="),
    "b1-file-names": _file_name,
    "b1-angles": header(b"From", b"<", 100_000),
    "b1-at-signs": header(b"From", b"a@", 60_000),
    "b1-groups": header(b"To", b"a:b@c,;", 20_000),
    "b1-quoted-locals": header(b"From", b'"', 100_000, after=b"@example.org"),
    "b1-dates": header(b"Date", b"1 ", 30_000, before=b"Mon, "),
    "b1-message-ids": header(b"Message-ID", b"<[", 40_000, after=b"@x>"),
    "b1-idna": header(b"From", "\u00fc.".encode(), 10_000, before=b"<a@", after=b">"),
    "b1-odd-octets": _odd_header,
    "b1-uuencode": _uuencoded,
    "b2-multiparts": _nested,
    "b2-messages": _nested_messages,
    "b2-both": _nested_both,
    "b2-encoded": _nested_encoded,
    "b2-reports": repeated(b"Content-Type: message/delivery-status\r\n\r\n", 5_000, after=b"x: y\r\n\r\n"),
    "b3-parts": _parts,
    "b3-boundaries": _boundaries,
    "b3-headers": _many_headers,
    "b3-one-header": header(b"X-Long", b"a", 1_500_000),
    "b3-folds": repeated(b"\r\n a", 200_000, before=b"Subject: x", after=b"\r\n\r\nbody"),
    "b3-addresses": header(b"To", b"a@example.org, ", 20_000),
    "b3-empty-lines": repeated(b"\r\n", 2_000_000, of=plain),
    "b3-line-feeds": repeated(b"\n", 3_000_000, of=plain),
    "b3-carriage-returns": repeated(b"\r", 2_000_000, of=plain),
    "b3-dashes": repeated(b"--\r\n", 300_000, of=plain),
    "b3-one-line": repeated(b"lottery ", 2_000_000, of=plain),
    "b3-full-size": _full_size,
    "b3-references": header(b"References", b"<a@b> ", 30_000),
    "b8-headers": _ambiguous,
    "b8-parameters": _parameters,
    "b8-line-ends": _line_ends,
    "b8-odd-multipart": lambda rng: odd(rng, multipart([_LEAF] * size(rng, 30)), 60),
}

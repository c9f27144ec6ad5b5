"""Hostile HTML: row B5 of ``docs/threats.md``."""

from __future__ import annotations

import random
from collections.abc import Mapping

from tests.hostile.draw import Make, lines, multipart, odd, page, repeated, size, text

_TAGS = (
    *b"a b i u p div span font table tr td th form select option svg math style script noscript template".split(),
    *b"frameset title textarea pre ul li dl dt marquee button label iframe object".split(),
)
_STYLES = (
    *(b"color:#fff", b"display:none", b"font-size:0", b"background:url(x)", b"position:absolute;left:-9999px"),
    *(b"a" * 300, b"color:rgb(", b";:;:", b"opacity:.01"),
)


def _soup(rng: random.Random) -> bytes:
    """Tags opened and closed in any order, as nobody writes them."""
    out = bytearray()
    for _ in range(size(rng, 20_000)):
        tag = rng.choice(_TAGS)
        out += (
            rng.choice((b"<%s>", b"</%s>", b"<%s", b"<%s style='" + rng.choice(_STYLES) + b"'>", b"<%s href=x>")) % tag
        )
        if rng.random() < 0.2:
            out += text(rng, 3)
    return page(odd(rng, bytes(out)))


def _attributes(rng: random.Random) -> bytes:
    name = rng.choice((b"a%d=1 ", b"a ", b"style='x' ", b"href=%d ", b'on%d="x" ', b"\xc3\xa9%d "))
    made = b"".join(name % i if b"%d" in name else name for i in range(size(rng, 45_000)))
    return page(b"<div " + made + b">lottery</div>")


def _adoption(rng: random.Random) -> bytes:
    """What the adoption agency algorithm of HTML5 parsers takes quadratic time and memory for."""
    inline = rng.sample((b"<a>", b"<b>", b"<i>", b"<font>", b"<nobr>", b"<u>", b"<code>"), 3)
    return page(b"".join(inline) * size(rng, 15_000) + b"</p>" * size(rng, 3_000) + b"<p>winner")


def _entities(rng: random.Random) -> bytes:
    names = (
        b"&amp;",
        b"&#x41;",
        b"&#0;",
        b"&#xD800;",
        b"&#99999999999;",
        b"&lt",
        b"&",
        b"&#",
        b"&NotEqualTilde;",
        b"&a" * 50,
    )
    return page(b"".join(rng.choices(names, k=size(rng, 60_000))))


def _laughs(rng: random.Random) -> bytes:
    """Entities of entities, for parsers that expand them."""
    depth = size(rng, 30)
    declared = b"".join(b'<!ENTITY l%d "%s">' % (i, b"&l%d;" % (i - 1) * 10) for i in range(1, depth))
    doctype = (
        b'<?xml version="1.0"?><!DOCTYPE html [<!ENTITY l0 "lol">'
        + declared
        + b'<!ENTITY x SYSTEM "file:///etc/hostname">]>'
    )
    return page(doctype + b"<html>&l%d;&x;</html>" % (depth - 1)).replace(
        b"text/html", rng.choice((b"text/html", b"application/xhtml+xml"))
    )


def _sheets(rng: random.Random) -> bytes:
    piece = rng.choice(
        (b"a{/*", b"/**/", b"a{color:red}", b"@import 'x';", b"{", b"}", b"\\", b"a>b+c~d ", b"url(", b"<!--")
    )
    return page(b"<style>" + piece * size(rng, 60_000) + rng.choice((b"", b"</style>")) + b"<p>prize")


def _styled(rng: random.Random) -> bytes:
    tag = rng.choice((b"<p style='%s'>", b"<font color='%s'>", b"<td bgcolor='%s'>", b"<div hidden style='%s'>"))
    return page(b"".join(tag % rng.choice(_STYLES) + b"x" for _ in range(size(rng, 5_000))))


def _many_pages(rng: random.Random) -> bytes:
    part = b"Content-Type: text/html\r\n\r\n" + rng.choice((b"<div>", b"<a href=http://x.example>", b"<b><i>")) * size(
        rng, 3_000
    )
    return multipart([part] * size(rng, 60))


def _encoded_page(rng: random.Random) -> bytes:
    return page(lines(rng.choice((b"<div>", b"<a ", b"<table><tr><td>", b"\0<b>")) * size(rng, 100_000)), b"base64")


PIECES: Mapping[str, str] = {
    "open-tags": "<a ",
    "open-comments": "<!--",
    "closed-comments": "a<!-- -->",
    "conditional-comments": "<!--[if mso]>x<![endif]-->",
    "divs": "<div>",
    "tables": "<table><tr><td>",
    "forms": "<form><input type=password>",
    "selects": "<select><option>",
    "svgs": "<svg><foreignObject><math><annotation-xml>",
    "scripts": "<script>",
    "closed-scripts": "<script></script >",
    "cdata": "<![CDATA[",
    "instructions": "<?xml ",
    "doctypes": "<!DOCTYPE html [",
    "quotes": "<a href='",
    "closing": "</p>",
    "links": "<a href=http://a.example/>x</a>",
    "images": "<img src=data:image/png;base64,AAAA>",
    "alts": "<img alt=winner>",
    "nuls": "<\0a>",
    "angles": "<",
    "closing-angles": ">",
    "bases": "<base href=//x.example><meta charset=utf-7>",
    "hidden": "<p style=display:none>x",
    "invisible": "v\u200bi\u00ad<b></b>",
}
PAGES: Mapping[str, Make] = {
    **{f"b5-{name}": repeated(piece, 900_000 // len(piece), of=page) for name, piece in PIECES.items()},
    "b5-soup": _soup,
    "b5-attributes": _attributes,
    "b5-adoption": _adoption,
    "b5-entities": _entities,
    "b5-laughs": _laughs,
    "b5-sheets": _sheets,
    "b5-styled": _styled,
    "b5-many-pages": _many_pages,
    "b5-encoded": _encoded_page,
}

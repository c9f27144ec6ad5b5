import base64
import quopri
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filterd.core.message import Message, ParseLimits, parse_email
from filterd.errors import Unscannable

LIMITS = ParseLimits()


def _parse(raw: bytes, limits: ParseLimits = LIMITS) -> Message:
    return parse_email(raw, limits)


def _multipart(*parts: bytes, kind: bytes = b"mixed") -> bytes:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return b'Content-Type: multipart/%s; boundary="b"\r\n\r\n%s--b--\r\n' % (kind, body)


def test_parse_when_plain_reads_subject_author_and_text() -> None:
    message = _parse(b"From: Ann <Ann@Example.ORG>\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?= =?utf-8?q?_x?=\r\n\r\nHi\r\n")

    assert (message.subject, message.author, message.author_name) == ("Gr\u00fc\u00dfe x", "ann@example.org", "Ann")
    assert message.text.strip() == "Hi"
    assert message.signals == ()


def test_parse_when_an_mbox_line_is_in_front_skips_it() -> None:
    assert _parse(b"From x@y Mon Jan  1 00:00:00 2001\nSubject: s\n\nbody\n").subject == "s"


def test_parse_when_html_and_plain_differ_keeps_both() -> None:
    raw = _multipart(
        b"Content-Type: text/plain\r\n\r\nplain words",
        b"Content-Type: text/html\r\n\r\n<p>shown</p>",
        kind=b"alternative",
    )
    message = _parse(raw)

    assert message.text.strip() == "shown"
    assert message.alternative.strip() == "plain words"
    assert message.html_parts == 1


def test_parse_when_attached_names_them_without_reading() -> None:
    message = EmailMessage()
    message["From"] = "a@example.org"
    message.set_content("see file")
    message.add_attachment(b"\x00\x01", maintype="application", subtype="zip", filename="Rechnung \u00fc.PDF.zip")
    parsed = _parse(message.as_bytes())

    assert [(a.name, a.kind) for a in parsed.attachments] == [("rechnung \u00fc.pdf.zip", "application/zip")]
    assert parsed.text.strip() == "see file"


def test_parse_when_an_attachment_is_a_page_reads_it() -> None:
    page = base64.encodebytes(b"<html><a href='http://example.com'>log in</a></html>")
    raw = _multipart(
        b'Content-Type: application/octet-stream; name="a.html"\r\nContent-Transfer-Encoding: base64\r\n\r\n' + page
    )

    assert "log in" in _parse(raw).text
    assert _parse(raw).links[0].href == "http://example.com"


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        (b"base64", base64.encodebytes("caf\u00e9 noir".encode())),
        (b"BASE64", b"  " + base64.b64encode("caf\u00e9 noir".encode())[:-1] + b"*!\r\n"),
        (b"base64", base64.b64encode(b"caf\xc3\xa9 ") + b"=\r\n" + base64.b64encode(b"noir")),
        (b"quoted-printable", quopri.encodestring("caf\u00e9 noir".encode())),
        (b"8bit", "caf\u00e9 noir".encode()),
        (b"x-nonsense", "caf\u00e9 noir".encode()),
    ],
    ids=["base64", "damaged-base64", "padded-in-the-middle", "quoted-printable", "8bit", "unknown"],
)
def test_parse_when_transfer_encoded_decodes(encoding: bytes, data: bytes) -> None:
    raw = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + data

    assert _parse(raw).text.strip() == "caf\u00e9 noir"


@pytest.mark.parametrize(
    ("charset", "text"),
    [(b"koi8-r", "\u043f\u0440\u0438\u0432\u0435\u0442"), (b"", "gr\u00fc\u00dfe"), (b"us-ascii", "gr\u00fc\u00dfe")],
    ids=["declared", "missing", "wrong"],
)
def test_parse_when_octets_are_above_127_reads_them(charset: bytes, text: str) -> None:
    data = text.encode(charset.decode() if charset == b"koi8-r" else "utf-8")

    assert _parse(b"Content-Type: text/plain; charset=" + charset + b"\r\n\r\n" + data).text == text


@pytest.mark.parametrize(
    ("header", "author"),
    [
        (b"From: a@b.org", "a@b.org"),
        (b"From: <A@B.org>", "a@b.org"),
        (b'From: "x@y.com" <a@b.org>', "a@b.org"),
        (b"From: x@y.com <a@b.org>", "a@b.org"),
        (b"From: a@b.org (x@y.com)", "a@b.org"),
        (b"From: a@b.org, c@d.org", ""),
        (b"From: x@y.com, <a@b.org>", ""),
        (b"From: <a@b.org> <c@d.org>", ""),
        (b"From: a@b.org\r\nFrom: c@d.org", ""),
        (b"From: nobody", ""),
        (b"From:", ""),
        (b"X: y", ""),
        ("From: <b\u00fc@b\u00fccher.example>".encode(), "b\u00fc@b\u00fccher.example"),
        (b"From: =?utf-8?q?=3Cx=40y.com=3E?= <a@b.org>", "a@b.org"),
    ],
)
def test_author_when_ambiguous_is_empty(header: bytes, author: str) -> None:
    assert _parse(header + b"\r\n\r\nx").author == author


@pytest.mark.parametrize(
    ("raw", "signal"),
    [
        (b"Content-Type: text/plain; charset=zlib\r\n\r\nx\xff", "charset_refused"),
        (b"Content-Type: text/plain; charset=utf-8\r\n\r\nx\xffy", "charset_mismatch"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\nno parts, some text", "multipart_without_parts"),
        (b"Subject: a\r\nSubject: b\r\n\r\nx", "duplicate_subject"),
        (b"From: x, y\r\n\r\nx", "ambiguous_author"),
        (b"Content-Type: text/html" + b" ;" * 5_000 + b"\r\n\r\n<p>x", "long_content_header"),
        (b"", "no_headers"),
        (b"Content-Type: text/html\r\n\r\n<p style=display:none>x", "hidden_text"),
    ],
)
def test_parse_when_something_is_odd_says_so(raw: bytes, signal: str) -> None:
    assert signal in _parse(raw).signals


def test_parse_when_a_multipart_has_no_parts_reads_it_as_text() -> None:
    assert "pills" in _parse(b"Content-Type: multipart/mixed\r\n\r\nbuy pills").text


def test_parse_when_text_is_long_keeps_beginning_and_end() -> None:
    text = _parse(b"Subject: x\r\n\r\nstart " + b"filler " * 300_000 + b"end").text

    assert len(text) <= LIMITS.max_text_chars + 1
    assert text.startswith("start")
    assert text.endswith("end")


def _nested(depth: int) -> bytes:
    heads = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (i, i) for i in range(depth))
    return heads + b"Content-Type: text/plain\r\n\r\nx\r\n"


BOMBS = {
    "nested multiparts": _nested(1_000),
    "nested messages": b"Content-Type: message/rfc822\r\n\r\n" * 3_000 + b"x",
    "parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 160_000,
    "folded boundary parts": b'Content-Type: multipart/mixed;\r\n boundary="b"\r\n\r\n' + b"--b\r\n\r\nx\r\n" * 20_000,
    "continued boundary parts": b"Content-Type: multipart/mixed; boundary*0=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 20_000,
    "one long header": b"X: " + b"a" * 1_000_000 + b"\r\n\r\nx",
    "many headers": b"X: y\r\n" * 60_000 + b"\r\nx",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("raw", BOMBS.values(), ids=BOMBS.keys())
def test_b2_b3_parse_when_a_hard_limit_breaks_is_unscannable_soon(raw: bytes) -> None:
    with pytest.raises(Unscannable):
        _parse(raw)


SCORED = {
    "parameters": b"Content-Type: text/plain" + b"; a=b" * 40_000 + b"\r\n\r\nx",
    "semicolons": b"Content-Type: multipart/mixed" + b";" * 200_000 + b"\r\n\r\nx",
    "addresses": b"To: " + b"a@b.org, " * 25_000 + b"\r\n\r\nx",
    "parentheses": b"From: " + b"(" * 200_000 + b"\r\n\r\nx",
    "quotes": b"From: " + b'"a\\' * 60_000 + b"\r\n\r\nx",
    "angles": b"From: " + b"<" * 200_000 + b"\r\n\r\nx",
    "encoded words": b"Subject: " + b"=?utf-8?q?a?= " * 18_000 + b"\r\n\r\nx",
    "open encoded words": b"Subject: " + b"=?utf-8?q?" * 20_000 + b"\r\n\r\nx",
    "diff lines": b"Subject: x\r\n\r\n" + b"--- a/file\r\n" * 100_000,
    "line ends": b"Subject: x\r\n\r\n" + b"\n" * 1_000_000,
    "line ends of nested parts": _nested(19) + b"\n" * 3_000_000,
    "hyphens of nested parts": _nested(19) + b"--\r\n" * 1_000_000,
    "carriage returns": b"Subject: x\r\n\r\n" + b"\r" * 1_000_000,
    "base64 strangers": b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=" * 1_000_000,
    "nested tags": b"Content-Type: text/html\r\n\r\n" + b"<a " * 9_000,
    "nested divs": b"Content-Type: text/html\r\n\r\n" + b"<div>" * 20_000 + b"x",
    "combining marks": b"Content-Type: text/plain; charset=utf-8\r\n\r\na" + "\u0316\u0301".encode() * 80_000,
    "file name codec": b"Content-Disposition: attachment; filename*=punycode''" + b"a%41" * 400 + b"\r\n\r\nx",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("raw", SCORED.values(), ids=SCORED.keys())
def test_b1_b3_parse_when_a_bomb_stays_below_the_limits_is_read_soon(raw: bytes) -> None:
    assert _parse(raw).size_bytes == len(raw)


def test_parse_when_one_part_is_huge_leaves_out_its_middle() -> None:
    raw = b"Subject: x\r\n\r\nstart\r\n" + b"\r\n" * 4_000_000 + b"end"
    message = _parse(raw)

    assert message.text.split() == ["start", "end"]
    assert message.size_bytes == len(raw)


def test_b1_parse_when_a_boundary_cannot_be_put_together_reads_the_text() -> None:
    """Python's own parser raises TypeError here: a continued parameter beside one that is not."""
    raw = b"Content-Type: multipart/mixed; boundary*0=b; boundary*=utf-8''c\r\n\r\n--b\r\n\r\nlottery\r\n--b--\r\n"
    message = _parse(raw)

    assert "lottery" in message.text
    assert "multipart_without_parts" in message.signals


def test_b3_parse_when_lines_are_very_many_finds_every_part() -> None:
    fill = b"Content-Type: text/plain\r\n\r\n" + b"a\r\n" * 150_000
    raw = _multipart(fill, b"Content-Type: text/html\r\n\r\n<p>lottery", fill, b"\r\nwinner")

    message = _parse(raw)

    assert "lottery" in message.text
    assert "winner" in message.alternative


@pytest.mark.parametrize("value", [b'"b\\"', b"<b>", b'" b "', b"b; x=y", b"b (c)", b"b*0=b", b'"'])
def test_b3_parse_when_lines_are_very_many_and_the_boundary_is_odd_hides_nothing(value: bytes) -> None:
    """What few lines would show is shown, or the message is unscannable."""
    small = b"\r\n--b\r\n\r\nlottery\r\n--b (c)\r\n\r\nwinner\r\n--b--\r\n"
    head = b"Content-Type: multipart/mixed; boundary=" + value + b"\r\n\r\n"
    few = _parse(head + b"a\r\n" + small)
    try:
        many = _parse(head + b"a\r\n" * 150_000 + small)
    except Unscannable:
        return

    for word in ("lottery", "winner"):
        assert (word in many.text) == (word in few.text)


def test_b3_parse_when_a_header_reaches_into_very_many_lines_is_unscannable() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + b"a:\r\n" * 110_000 + b"\r\nhidden\r\n--b--\r\n"
    with pytest.raises(Unscannable, match="header lines"):
        _parse(raw)


def test_parse_when_pages_are_many_reads_them_all() -> None:
    """Past twice the limit of one part the rest is read without a tree."""
    parts = [b"Content-Type: text/html\r\n\r\n<p>page%d<a href=http://x%d.example>y</a>" % (i, i) for i in range(40)]
    message = _parse(_multipart(*parts), ParseLimits(max_html_bytes=100))

    assert "page0" in message.text
    assert "page39" in message.text
    assert len(message.links) == 40
    assert "html_truncated" in message.signals


def test_parse_when_a_digest_is_wide_reads_it() -> None:
    parts = [b"Content-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\nmail %d" % i for i in range(200)]

    assert "mail 199" in _parse(_multipart(*parts)).text


HEADS = (b"From: a@b\r\n", b"Subject: =?utf-8?b?", b"Content-Type: multipart/mixed; boundary=b\r\n", b"boundary*=x''b")
TYPES = (
    b"Content-Type: text/html; charset=",
    b"Content-Type: message/rfc822\r\n",
    b"Content-Type: message/delivery-status\r\n",
)
NAMES = (
    b"Content-Disposition: attachment; filename*0*=utf-16''",
    b"%D8%00",
    b"filename*=unicode_escape''",
    b"%5Cud800",
)
CODES = (
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: uuencode\r\n",
    b"AAAA",
    b"begin 644 x\n",
)
MARKS = (
    b"--b\r\n",
    b"--b--\r\n",
    b"\r\n\r\n",
    b"\r",
    b"\n",
    b"\0",
    b"\xff",
    b" ",
    b";",
    b'"',
    b"=",
    b":",
    b"<p>",
    b"utf-7",
    b"idna",
)
PIECES = st.sampled_from([*HEADS, *TYPES, *NAMES, *CODES, *MARKS])


@settings(max_examples=500)
@given(raw=st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=20).map(b"".join)))
def test_parse_whatever_comes_raises_nothing_but_unscannable(raw: bytes) -> None:
    try:
        message = _parse(raw, ParseLimits(max_parts=10, max_depth=3, max_header_bytes=200, max_decoded_bytes=200))
    except Unscannable:
        return

    names = [a.name for a in message.attachments]
    for text in (message.subject, message.author, message.author_name, message.text, message.hidden, *names):
        text.encode("utf-8")

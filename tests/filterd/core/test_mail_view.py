"""A mail as people read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.limits import ParseLimits
from filterd.core.mail_view import AttachmentView, MailView, view
from filterd.core.message import parse_email
from filterd.errors import Unscannable
from tests.hostile.draw import multipart
from tests.hostile.markup import strangers

LIMITS = ParseLimits()
HEAD = b"From: Eve <eve@example.com>\r\nTo: bob@example.net\r\nSubject: hello\r\nMIME-Version: 1.0\r\n"


def test_view_shows_headers_decoded() -> None:
    raw = (
        b"From: =?utf-8?q?Eve_=3Cb=3E?= <eve@example.com>\r\nTo: a@example.net,\r\n b@example.net\r\n"
        b"Cc: c@example.net\r\nReply-To: d@example.com\r\n"
        b"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n"
        b"Subject: =?utf-8?b?w4ljbGFpcg==?=\r\n\r\ntext\r\n"
    )

    assert view(raw, LIMITS) == MailView(
        subject="Éclair",
        author="Eve <b> <eve@example.com>",
        to="a@example.net, b@example.net",
        cc="c@example.net",
        reply_to="d@example.com",
        date="Thu, 1 Jan 2026 00:00:00 +0000",
        message_id="<1@example.com>",
        text="text\n",
    )


def test_view_shows_every_value_of_a_header_that_stands_twice() -> None:
    assert view(b"From: a@example.org\r\nFrom: b@example.org\r\n\r\n", LIMITS).author == "a@example.org; b@example.org"


def test_view_shows_the_text_that_the_model_reads() -> None:
    raw = multipart(
        [
            b"Content-Type: text/plain\r\n\r\nplain words",
            b"Content-Type: text/html\r\n\r\n<p>shown<span style='display:none'>not seen</span></p><script>x</script>",
        ],
        b"alternative",
    )
    found = view(raw, LIMITS)

    assert found.text == parse_email(raw, LIMITS).text
    assert (found.text.strip(), found.plain.strip(), found.hidden.strip()) == ("shown", "plain words", "not seen")
    assert found.html.replace("\n", "") == "<div><p>shown<span>not seen</span></p></div>"
    assert "script" not in found.html


@pytest.mark.parametrize(
    ("declared", "name"),
    [
        (b'name="Invoice.pdf"', "Invoice.pdf"),
        (b'name="../../etc/passwd"', "_.._etc_passwd"),
        (b'name="C:\\\\x.exe"', "C__x.exe"),
        (b"name*=utf-8''fdp%E2%80%AEtxt.exe", "fdp\ufffdtxt.exe"),
        (b"name*0*=utf-8''a%0D%0A; name*1=b.txt", "a b.txt"),
        (b'name="=?utf-8?q?=3Cimg_src=3Dx=3E?="', "<img src=x>"),
        (b'name="a\x07b"', "a\ufffdb"),
        (b'name=".profile"', "profile"),
        (b"", ""),
    ],
)
def test_view_shows_names_of_attachments_that_are_names(declared: bytes, name: str) -> None:
    head = b"Content-Type: Application/PDF; " + declared + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    (found,) = view(multipart([head + b"aGVsbG8="]), LIMITS).attachments

    assert found == AttachmentView(name=name, kind="application/pdf", size_bytes=5)


def test_view_has_no_html_where_there_is_none() -> None:
    assert not view(HEAD + b"\r\nplain", LIMITS).html


def test_view_when_a_limit_is_broken_is_unscannable() -> None:
    parts = multipart([b"\r\nx"] * 20)
    with pytest.raises(Unscannable):
        view(parts, ParseLimits(max_parts=10))


def test_view_of_many_pages_is_capped() -> None:
    page = b"Content-Type: text/html\r\n\r\n" + b"<p>" + b"&" * 400_000
    assert len(view(multipart([page] * 30), LIMITS).html) < 3_000_000


@given(st.binary(max_size=300).map(lambda tail: HEAD + tail))
def test_view_whatever_comes_shows_or_refuses(raw: bytes) -> None:
    try:
        found = view(raw, LIMITS)
    except Unscannable:
        return

    assert strangers(found.html) == []
    for text in (found.subject, found.author, found.to, found.date, *(a.name for a in found.attachments)):
        assert text.isprintable()


def test_view_reads_what_fuzzing_found() -> None:
    folder = Path(__file__).parents[2] / "fuzz" / "regressions" / "mail"
    for path in folder.iterdir():
        try:
            assert strangers(view(path.read_bytes(), LIMITS).html) == []
        except Unscannable:
            continue

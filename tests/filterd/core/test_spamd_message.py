"""Messages of spamd's clients, given back with our lines in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.advice import Advice, Marks
from filterd.core.envelope import MessageId
from filterd.core.headers import Stamp, find_id
from filterd.core.spamd_message import rewrite, sender_of
from filterd.core.verdict import Action, Decision, Reason
from filterd.testing import a_scan

ID = MessageId("0" * 31 + "1")
STAMP = Stamp(hostname="mx.example")
TAGGED = Advice(
    id=ID,
    decision=Decision(action=Action.TAG, reason=Reason.SPAM, scan=a_scan(0.99), subject_tag="[SPAM]"),
    marks=Marks(first=0.6),
)
MAIL = "From: e@x.example\nX-Spam-Status: No\nX-Filterd-Id: {}\nSubject: hi\n\nX-Spam-Flag: body\n".format("f" * 32)
ENDS = pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])


def _mail(end: bytes) -> bytes:
    return MAIL.encode().replace(b"\n", end)


@ENDS
def test_b9_message_keeps_its_line_ends_and_loses_forged_lines(end: bytes) -> None:
    """Ours in front, the sender's out of the header, the body octet by octet as it was."""
    found = rewrite(_mail(end), TAGGED, STAMP, is_header_only=False)

    head, _, body = found.partition(end + end)
    assert found.count(b"\n") == found.count(end)
    assert found.count(b"\r") == found.count(b"\r\n")
    assert (find_id(found), body) == (ID, b"X-Spam-Flag: body" + end)
    assert (b"X-Spam-Status: Yes, score=9.2 required=5.0" in head, b": No" in head) == (True, False)
    assert b"Subject: [SPAM] hi" in head


@ENDS
def test_header_alone_is_what_stands_before_the_body(end: bytes) -> None:
    """HEADERS gets the same header and its empty line, and no more."""
    whole = rewrite(_mail(end), TAGGED, STAMP, is_header_only=False)

    assert rewrite(_mail(end), TAGGED, STAMP, is_header_only=True) == whole.partition(end + end)[0] + end + end


@given(raw=st.text("ab:\n\r ", max_size=40).map(str.encode), is_header_only=st.booleans())
def test_body_of_any_message_stays_behind_our_lines(raw: bytes, *, is_header_only: bool) -> None:
    """Whatever a message looks like, our lines come first and its last octets are still its last."""
    found = rewrite(raw, TAGGED, STAMP, is_header_only=is_header_only)

    assert find_id(found) == ID
    body = raw.partition(b"\r\n\r\n")[2] if b"\r\n\r\n" in raw else raw.partition(b"\n\n")[2]
    if not is_header_only and b"\r" not in raw:
        assert found.endswith(body)


@pytest.mark.parametrize(
    ("raw", "sender"),
    [
        (b"Return-Path: <eve@example.com>\r\nFrom: a\r\n\r\n", "eve@example.com"),
        (b"From eve 2026\nX-Envelope-From: <eve@example.com>\nX-Envelope-To: b\n\n", "eve@example.com"),
        (b"Return-Path: <>\r\n\r\n", ""),
        (b"From: a\r\nReturn-Path: <eve@example.com>\r\n\r\n", ""),
        (b"Return-Path: <a b>\r\n\r\n", ""),
        (b"", ""),
    ],
    ids=["delivered", "exim", "null", "further-down", "odd", "nothing"],
)
def test_sender_is_read_from_the_first_field_only(raw: bytes, sender: str) -> None:
    """Only what the mail server put on top counts."""
    assert sender_of(raw) == sender

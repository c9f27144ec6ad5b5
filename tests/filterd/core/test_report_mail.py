"""Which messages a mail to a report address names: every way of forwarding, and what an attacker puts in its way."""

from __future__ import annotations

import base64
import time
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.envelope import MessageId
from filterd.core.headers import find_id
from filterd.core.message import ParseLimits
from filterd.core.report_mail import MAX_REPORTS, ReportMail, read_report
from filterd.core.verdict import Label
from filterd.errors import Unscannable
from tests.hostile.shapes import SHAPES, make

LIMITS = ParseLimits()
ONE, TWO, EVIL = "1" * 32, "2" * 32, "e" * 32
OUTER = "From: ann@example.org\r\nTo: spam@example.org\r\nMIME-Version: 1.0\r\n"
QUOTED = "From: Eve <eve@example.com>\r\nSubject: win\r\nX-Filterd-Id: {id}\r\nTo: ann@example.org\r\n"


def delivered(id: str = ONE, body: str = "win now\r\n", more: str = "") -> str:
    """A mail as it was delivered; without ``id`` it bypassed us."""
    ours = f"Received: by gw.example (filterd) with ESMTP id {id};\r\n\tnow\r\nX-Filterd-Id: {id}\r\n" if id else ""
    return f"{ours}From: eve@example.com\r\nSubject: win\r\n{more}\r\n{body}"


def mixed(*parts: str, kind: str = "multipart/mixed") -> bytes:
    body = "".join(f"--out\r\n{part}\r\n" for part in parts)
    return f'{OUTER}Content-Type: {kind}; boundary="out"\r\n\r\n{body}--out--\r\n'.encode()


def attached(mail: str, kind: str = "message/rfc822", more: str = "") -> str:
    return f"Content-Type: {kind}\r\nContent-Disposition: attachment\r\n{more}\r\n{mail}"


def plain(text: str) -> str:
    return f"Content-Type: text/plain\r\n\r\n{text}"


def in_base64(mail: str) -> str:
    return base64.encodebytes(mail.encode()).decode().replace("\n", "\r\n")


def ids(raw: bytes) -> list[str]:
    return list(read_report(raw, LIMITS).ids)


def ids_or_none(raw: bytes) -> list[str] | None:
    """None where ``raw`` breaks a limit; a bug in the reader is raised as what it is."""
    try:
        return ids(raw)
    except Unscannable as exc:
        if exc.__cause__ is not None:
            raise
        return None


FORWARDS = {
    "attached": mixed(plain("see below"), attached(delivered())),
    "attached alone": f"{OUTER}{attached(delivered())}".encode(),
    "attached in lower lines": mixed(attached(delivered())).replace(b"\r\n", b"\n"),
    "attached in mixed case": mixed(attached(delivered().replace("X-Filterd-Id", "x-filterd-ID"))),
    "attached in UTF-8": mixed(attached(delivered(), kind="message/global")),
    "attached in base64": mixed(
        attached(in_base64(delivered()), more="Content-Transfer-Encoding: base64\r\n"),
    ),
    "attached as a file": mixed(
        f'Content-Type: application/octet-stream; name="win.EML"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        f"{in_base64(delivered())}"
    ),
    "in a digest": mixed(f"\r\n{delivered()}", kind="multipart/digest"),
    "signed": mixed(
        f'Content-Type: multipart/mixed; boundary="in"\r\n\r\n--in\r\n{attached(delivered())}\r\n--in--',
        kind="multipart/signed",
    ),
    "headers alone": mixed(attached(delivered().split("\r\n\r\n")[0], kind="text/rfc822-headers")),
    "quoted": f"{OUTER}\r\n-------- Forwarded Message --------\r\n{QUOTED.format(id=ONE)}\r\nwin\r\n".encode(),
    "quoted with marks": mixed(plain("> " + QUOTED.format(id=ONE).replace("\r\n", "\r\n> ") + "\r\n> \r\n> win")),
    "quoted in base64": f"{OUTER}Content-Transfer-Encoding: base64\r\n\r\n".encode()
    + in_base64("Look:\n\n" + QUOTED.format(id=ONE)).encode(),
    "resent": f"Resent-From: ann@example.org\r\nResent-To: spam@example.org\r\n{delivered()}".encode(),
}


@pytest.mark.parametrize("raw", FORWARDS.values(), ids=FORWARDS.keys())
def test_read_when_a_message_is_forwarded_finds_its_id(raw: bytes) -> None:
    assert read_report(raw, LIMITS) == ReportMail(ids=(MessageId(ONE),))


def test_read_when_several_are_attached_finds_each_once() -> None:
    raw = mixed(attached(delivered()), attached(delivered(TWO)), attached(delivered()), attached(delivered("")))

    assert read_report(raw, LIMITS) == ReportMail(ids=(MessageId(ONE), MessageId(TWO)), strangers=1)


def test_read_when_made_by_a_mail_library_finds_the_attached() -> None:
    message, spam = EmailMessage(), EmailMessage()
    spam["X-Filterd-Id"], spam["From"], spam["Subject"] = ONE, "eve@example.com", "win"
    spam.set_content("win")
    spam.add_alternative("<p>win</p>", subtype="html")
    message["From"] = "ann@example.org"
    message.set_content("spam!")
    message.add_attachment(spam)

    assert ids(message.as_bytes()) == [ONE]


@pytest.mark.parametrize(
    ("kind", "label"),
    [("abuse", Label.SPAM), ("Fraud (phishing)", Label.SPAM), ("not-spam", Label.HAM), ("opt-out", None), ("", None)],
)
def test_read_when_it_is_a_feedback_report_says_what_it_calls_the_message(kind: str, label: Label | None) -> None:
    fields = f"Content-Type: message/feedback-report\r\n\r\nVersion: 1\r\nFeedback-Type: {kind}\r\nUser-Agent: x/1\r\n"
    raw = mixed(
        plain("This is a report."), fields, attached(delivered()), kind="multipart/report; report-type=feedback-report"
    )

    assert read_report(raw, LIMITS) == ReportMail(ids=(MessageId(ONE),), label=label)


NOTHING = {
    "empty": (b"", 0),
    "no message in it": (f"{OUTER}\r\nthis is spam\r\n".encode(), 0),
    "only an id in prose": (f"{OUTER}\r\nX-Filterd-Id: {ONE}\r\n".encode(), 0),
    "stamped by another filterd on its way": (f"X-Filterd-Id: {ONE}\r\n{OUTER}\r\nspam\r\n".encode(), 0),
    "attached without an id": (mixed(attached(delivered(""))), 1),
    "attached with a false id": (mixed(attached(delivered("x" * 32))), 1),
    "attached with a cut id": (mixed(attached(delivered(ONE[:-1]))), 1),
    "attached with an id in its text": (mixed(attached(delivered("", body=f"X-Filterd-Id: {EVIL}\r\n"))), 1),
    "quoted without an id": (mixed(plain(QUOTED.format(id="none") + "\r\nwin")), 1),
}


@pytest.mark.parametrize(("raw", "strangers"), NOTHING.values(), ids=NOTHING.keys())
def test_read_when_there_is_no_message_of_ours_finds_none(raw: bytes, strangers: int) -> None:
    assert read_report(raw, LIMITS) == ReportMail(strangers=strangers)


BAIT = f"\r\nFrom: bob@example.org\r\nSubject: lunch\r\nX-Filterd-Id: {EVIL}\r\n\r\nlunch\r\n"
DECOYS = {
    "attached to the attached": mixed(
        attached(
            delivered(
                body=f"--in\r\n{attached(delivered(EVIL))}\r\n--in--\r\n",
                more='Content-Type: multipart/mixed; boundary="in"\r\n',
            )
        )
    ),
    "in the text of the attached": mixed(attached(delivered(body=BAIT))),
    "a second id below ours": mixed(attached(delivered(more=f"X-Filterd-Id: {EVIL}\r\n"))),
    "folded into another header": mixed(attached(delivered(more=f"X-Note: a\r\n X-Filterd-Id: {EVIL}\r\n"))),
    "in the text that is quoted": mixed(plain(QUOTED.format(id=ONE) + BAIT)),
    "quoted beside an attached one": mixed(plain(BAIT), attached(delivered())),
    "attached to a resent one": (
        "Resent-From: ann@example.org\r\n"
        + delivered(
            body=f"--in\r\n{attached(delivered(EVIL))}\r\n--in--\r\n",
            more='Content-Type: multipart/mixed; boundary="in"\r\n',
        )
    ).encode(),
}


@pytest.mark.parametrize("raw", DECOYS.values(), ids=DECOYS.keys())
def test_c2_read_when_the_sender_put_the_id_of_another_message_in_reports_only_his_own(raw: bytes) -> None:
    assert ids(raw) == [ONE]


def test_c2_read_when_the_quoted_headers_have_no_id_ignores_one_further_down() -> None:
    assert ids(mixed(plain("From: eve@example.com\r\nSubject: win\r\n\r\nwin\r\n" + BAIT))) == []


def test_read_when_too_many_are_attached_is_unscannable() -> None:
    parts = [attached(delivered(f"{n:032x}")) for n in range(MAX_REPORTS + 1)]

    assert len(ids(mixed(*parts[1:]))) == MAX_REPORTS
    with pytest.raises(Unscannable):
        ids(mixed(*parts))


def test_read_when_what_is_attached_is_just_within_the_limits_finds_it() -> None:
    """A message that was delivered can be reported."""
    limits = ParseLimits(max_depth=3, max_parts=20)
    deep = "".join(f'Content-Type: multipart/mixed; boundary="b{n}"\r\n\r\n--b{n}\r\n' for n in range(3))
    wide = "".join(f"--w\r\n\r\n{n}\r\n" for n in range(19))
    more = f'Content-Type: multipart/mixed; boundary="w"\r\n\r\n{wide}--w--\r\n'

    for inner in (deep + "\r\nx\r\n", more):
        raw = mixed(plain("x"), attached(delivered().split("\r\n\r\n")[0] + "\r\n" + inner))
        assert list(read_report(raw, limits).ids) == [ONE]


@pytest.mark.parametrize("depth", [30, 1_000, 10_000])
def test_b2_read_when_messages_nest_too_deep_is_unscannable(depth: int) -> None:
    raw = OUTER.encode() + b"Content-Type: message/rfc822\r\n\r\n" * depth

    with pytest.raises(Unscannable):
        ids(raw)


@pytest.mark.parametrize("shape", SHAPES)
def test_b2_b3_read_when_what_is_attached_is_hostile_ends_in_time(shape: str) -> None:
    head = f"{OUTER}Content-Type: message/rfc822\r\n\r\nX-Filterd-Id: {ONE}\r\nX-Filterd-Reason: ham\r\n"
    raw = head.encode() + make(f"{shape}#0").raw
    started = time.process_time()

    assert ids_or_none(raw) in ([ONE], None)
    assert time.process_time() - started < 2


@given(st.binary(max_size=2_000))
def test_read_whatever_it_is_given_reads_it_or_is_unscannable(raw: bytes) -> None:
    ids_or_none(raw)


LINES = st.sampled_from(
    [
        f"X-Filterd-Id: {ONE}",
        f"> X-Filterd-Id: {TWO}",
        "Content-Type: message/rfc822",
        'Content-Type: multipart/mixed; boundary="b"',
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b",
        "Content-Type: message/feedback-report",
        "Content-Type: multipart/digest; boundary=b",
        "Content-Transfer-Encoding: base64",
        "Feedback-Type: abuse",
        "Resent-To: \ud7ff",
        "From: a",
        "Subject: b",
        "--b",
        "--b--",
        "",
        "",
        " folded",
        "\x00\x80",
    ]
)


@given(st.lists(LINES, max_size=30), st.sampled_from(["\r\n", "\n", "\r"]))
def test_read_of_any_arrangement_finds_only_ids_that_stand_in_it(lines: list[str], end: str) -> None:
    raw = end.join(lines).encode("utf-8", "surrogatepass")
    found = ids_or_none(raw) or []

    assert set(found) <= {ONE, TWO}
    assert all(id.encode() in raw for id in found)


@given(st.binary(max_size=300), st.sampled_from([b"\r\n", b"\n"]))
def test_find_id_reads_the_header_only_and_takes_the_first(body: bytes, end: bytes) -> None:
    head = end.join([b"Received: x", b"X-Filterd-Id: " + ONE.encode(), b"X-Filterd-Id: " + EVIL.encode()])

    assert find_id(head + end * 2 + body) == ONE
    assert find_id(b"Subject: x" + end * 2 + head + body) is None
    assert find_id(end + head) is None

"""Our header block, forged headers, release signatures: threats B9, B10 and B11."""

from __future__ import annotations

import email
import re
from dataclasses import replace
from email.message import Message

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from filterd.core.envelope import MessageId, Peer
from filterd.core.headers import Stamp, count_hops, find_release, release_header, score_of, stamp
from filterd.core.verdict import Action, Decision, Reason, Scan
from filterd.testing import a_scan, an_envelope

SETTINGS = Stamp(hostname="gw.example", trusted_authserv_ids=frozenset({"mx.example"}), release_key=b"key")
HAM = Decision(action=Action.ACCEPT, reason=Reason.HAM, threshold=0.6, scan=a_scan(0.01))
SPAM = Decision(action=Action.TAG, reason=Reason.SPAM, threshold=0.6, scan=a_scan(0.99), subject_tag="[SPAM]")
ID = MessageId("0" * 31 + "1")
FORGED = re.compile(rb"^\s*x-(spam|spamd|rspamd|filterd)(-[!-9;-~]*)?\s*:", re.IGNORECASE)


def stamped(raw: bytes, decision: Decision = HAM) -> tuple[bytes, bytes]:
    """Our block, and what follows it."""
    out = stamp(raw, an_envelope(), decision, SETTINGS)
    block = re.match(rb"(?:[^\r\n]*\r\n)*?X-Spam-S(?:core|tatus: Uns)[^\r\n]*\r\n(?:X-Spam-Level[^\r\n]*\r\n)?", out)
    assert block
    return block[0], out[block.end() :]


def parsed(raw: bytes) -> Message:
    return email.message_from_bytes(raw)


FORGERIES = [
    b"X-Spam-Flag: NO\r\n",
    b"x-spam-flag: NO\r\n",
    b"X-SPAM-STATUS: No, score=-9\r\n",
    b"X-Spam-Status: No,\r\n score=-9\r\n\ttests=NONE\r\n",
    b"X-Spam-Status : No\r\n",
    b"X-Spam-Status\t: No\r\n",
    b"X-Spam-Level:\r\n",
    b"X-Spam-Score:-100\r\n",
    b"X-Spam: no\r\n",
    b"X-Spam-Anything-Else: 1\r\n",
    b"X-Spamd-Result: default: False\r\n",
    b"X-Spamd-Bar: /\r\n",
    b"X-Rspamd-Score: -5\r\n",
    b"X-Rspamd-Action: no action\r\n",
    b"X-Filterd-Id: 1\r\n",
    b"X-Filterd-Reason: allowed\r\n",
    b"X-Filterd-End: 1\r\n",
    b"X-Filterd-Release: junk\r\n",
    b"X-Spam-\r\n Flag: NO\r\n",
    b"X-Spam-\0Flag: NO\r\n",
    b"X-Sp\xffam-Flag: NO\r\n",
    b"\0X-Spam-Flag: NO\r\n",
    b"X-Spam-Flag: NO\r\nX-Spam-Flag: NO\r\n",
    b"Authentication-Results: gw.example; dkim=pass\r\n",
    b"authentication-results: other.example;\r\n spf=pass\r\n",
    b"Authentication-Results : other.example; spf=pass\r\n",
    b"Authentication-Results: (mx.example) other.example; spf=pass\r\n",
    b"Authentication-Results:\r\n other.example; spf=pass\r\n",
    b'Authentication-Results: "other.example"; spf=pass\r\n',
    b"Authentication-Results: mx.example.evil.example; spf=pass\r\n",
    b"Authentication-Results:\r\n",
    b"Authentication-Results: (((\r\n",
]
KEPT = [
    b"X-Spamassassin-Notes: hi\r\n",
    b"X-Not-Spam-Flag: hi\r\n",
    b"Subject: X-Spam-Flag: NO\r\n",
    b"X-Folded: a\r\n X-Spam-Flag: NO\r\n",
    b"Authentication-Results: mx.example; spf=pass\r\n",
    b"Authentication-Results: MX.example 1; spf=pass\r\n",
    b"Authentication-Results: (c) (d) mx.example; spf=pass\r\n",
    b'Authentication-Results: "mx.example"; spf=pass\r\n',
    b"ARC-Authentication-Results: i=1; other.example; spf=pass\r\n",
    b"Spam-Flag: NO\r\n",
]
PLACES = {
    "first": lambda line: line + b"From: a@b\r\nSubject: x\r\n\r\nX-Spam-Flag: body\r\n",
    "middle": lambda line: b"From: a@b\r\n" + line + b"Subject: x\r\n\r\nX-Spam-Flag: body\r\n",
    "last": lambda line: b"From: a@b\r\nSubject: x\r\n" + line + b"\r\nX-Spam-Flag: body\r\n",
    "headers-only": lambda line: b"From: a@b\r\nSubject: x\r\n" + line,
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("line", FORGERIES)
def test_b9_forged_header_is_removed_and_nothing_else(line: bytes, place) -> None:
    _, rest = stamped(place(line))

    assert rest == place(b"")


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
@pytest.mark.parametrize("line", KEPT)
def test_b9_other_header_is_kept(line: bytes, place) -> None:
    _, rest = stamped(place(line))

    assert rest == place(line)


@pytest.mark.parametrize("newline", [b"\r", b"\n"], ids=["cr", "lf"])
def test_b9_forged_header_behind_a_stray_newline_is_removed(newline: bytes) -> None:
    raw = b"Subject: a" + newline + b"X-Spam-Status: No\r\nTo: b@c\r\n\r\nbody\r\n"

    _, rest = stamped(raw)

    assert rest == b"Subject: a\r\nTo: b@c\r\n\r\nbody\r\n"


def test_b9_forged_header_in_unscanned_mail_is_removed() -> None:
    unscanned = Decision(action=Action.ACCEPT, reason=Reason.SCAN_DOWN)

    block, rest = stamped(b"X-Spam-Flag: NO\r\nSubject: x\r\n\r\n", unscanned)

    assert rest == b"Subject: x\r\n\r\n"
    assert b"X-Spam-Status: Unscanned, reason=scan_down\r\n" in block


LINE = st.sampled_from(
    [*FORGERIES, *KEPT, b"Subject: x\r\n", b" folded\r\n", b"\tX-Spam-Flag: NO\r\n", b"junk\r\n", b"\r\n", b"\n", b"\r"]
)


@given(lines=st.lists(LINE, max_size=12), body=st.binary(max_size=50))
def test_b9_no_forged_line_survives_under_any_reading(lines: list[bytes], body: bytes) -> None:
    body = body.replace(b"X-", b"")
    raw = b"".join(lines) + b"\r\n\r\n" + body
    header = raw[: raw.index(b"\r\n\r\n") + 2] if not raw.startswith(b"\r\n") else b""
    tail = raw[len(header) :]

    out = stamp(raw, an_envelope(), HAM, SETTINGS)

    assert out.endswith(tail)
    block = stamp(b"\r\n", an_envelope(), HAM, SETTINGS)[:-2]
    assert out.startswith((block, b"From ", b">From "))
    middle = out[len(block) : len(out) - len(tail)].removeprefix(b"X-Filterd-End: 1\r\n")
    for line in re.split(rb"\r\n|\r|\n", middle):
        is_continuation = line[:1] in (b" ", b"\t")
        assert is_continuation or not FORGED.match(line)


@given(raw=st.binary(max_size=300))
@pytest.mark.invariant("I4")
def test_stamp_of_a_message_without_suspects_keeps_every_octet(raw: bytes) -> None:
    assume(not re.search(rb"spam|filterd|authentication", bytes(c for c in raw if 0x20 < c < 0x7F), re.IGNORECASE))

    out = stamp(raw, an_envelope(), HAM, SETTINGS)

    mailbox = re.match(rb">?From [^\r\n]*(?:\r\n|\r|\n)", raw)
    assert out.endswith(raw[mailbox.end() :] if mailbox else raw)


HOSTILE = st.text(st.characters(codec="utf-8"), max_size=40)


@given(helo=HOSTILE, name=HOSTILE, protocol=HOSTILE, signal=HOSTILE, host=HOSTILE)
def test_b11_header_text_can_never_hold_a_line_end(helo: str, name: str, protocol: str, signal: str, host: str) -> None:
    peer = Peer(address="192.0.2.1", helo=helo, name=name, protocol=protocol)
    decision = replace(HAM, scan=replace(a_scan(), signals=(signal,)))

    out = stamp(b"\r\n", replace(an_envelope(), peer=peer), decision, replace(SETTINGS, hostname=host))

    assert out.isascii()
    assert out.replace(b"\r\n", b"").isascii()
    names = [line.partition(b":")[0] for line in out.split(b"\r\n") if line and line[:1] not in b" \t"]
    assert names == [b"Received", b"X-Filterd-Id", b"X-Filterd-Reason", b"X-Spam-Status", b"X-Spam-Score"]
    assert not re.search(rb"[\r\n]", out.replace(b"\r\n", b""))


@pytest.mark.parametrize(
    "raw",
    [
        b" X-Spam-Status: No\r\nSubject: real\r\n\r\nbody\r\n",
        b"\tINJECTED=ham\r\n\r\nbody\r\n",
        b" \r\n\r\nbody\r\n",
    ],
)
def test_b10_first_line_with_a_space_is_not_absorbed(raw: bytes) -> None:
    out = stamp(raw, an_envelope(), SPAM, SETTINGS)

    message = parsed(out)
    assert message["X-Spam-Flag"] == "YES"
    assert "INJECTED" not in message["X-Spam-Score"]
    assert message["X-Spam-Score"].count("\n") == 0
    assert out.endswith(raw.partition(b"\r\nSubject:")[2] or raw)


@pytest.mark.parametrize("raw", [b"no header at all\r\n", b": empty name\r\n", b"caf\xe9: x\r\n"])
def test_b10_message_without_headers_becomes_the_body(raw: bytes) -> None:
    assert stamp(raw, an_envelope(), HAM, SETTINGS).endswith(b"\r\n\r\n" + raw)


def test_b10_mailbox_line_stays_first() -> None:
    raw = b"From alice Mon Jan  1 00:00:00 2026\r\nSubject: x\r\n\r\nbody\r\n"

    out = stamp(raw, an_envelope(), HAM, SETTINGS)

    assert out.startswith(b"From alice Mon Jan  1 00:00:00 2026\r\nReceived: ")
    assert out.endswith(b"\r\nSubject: x\r\n\r\nbody\r\n")


def test_b10_mailbox_line_behind_a_forged_field_does_not_come_before_our_block() -> None:
    """It is no mailbox line where it stands, and a reader who takes none for one would find our block in the body."""
    out = stamp(b"X-Spam-Flag: NO\r\nFrom alice\r\nSubject: x\r\n\r\nbody\r\n", an_envelope(), SPAM, SETTINGS)

    assert out.startswith(b"Received: ")
    assert parsed(out)["X-Spam-Flag"] == "YES"
    assert out.endswith(b"\r\n\r\nFrom alice\r\nSubject: [SPAM] x\r\n\r\nbody\r\n")


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"\r\nbody\r\n", b"Subject: x", b"Subject: x\r\n"])
def test_b10_small_message_keeps_its_octets(raw: bytes) -> None:
    assert stamp(raw, an_envelope(), HAM, SETTINGS).endswith(b"\r\n" + raw)


def test_stamp_of_ham_says_so() -> None:
    message = parsed(stamp(b"Subject: x\r\n\r\n", an_envelope(), HAM, SETTINGS))

    assert message["X-Spam-Flag"] is None
    assert message["X-Spam-Status"].startswith("No, score=0.0 required=5.0") is True
    assert message["X-Filterd-Id"] == ID
    assert message["X-Filterd-Reason"] == "ham"
    assert message["X-Spam-Level"] is None
    assert message["Received"].startswith("from unknown (unknown [192.0.2.1])")


def test_stamp_of_spam_flags_scores_and_tags() -> None:
    message = parsed(stamp(b"Subject: x\r\n\r\n", an_envelope(), SPAM, SETTINGS))

    assert message["X-Spam-Flag"] == "YES"
    assert message["X-Spam-Status"].startswith("Yes, score=9.2 required=5.0")
    assert message["X-Spam-Score"] == "9.2"
    assert message["X-Spam-Level"] == "*" * 9
    assert message["Subject"] == "[SPAM] x"


def test_stamp_of_a_held_message_that_is_delivered_after_all_flags_it() -> None:
    held = replace(SPAM, action=Action.QUARANTINE, subject_tag="")

    assert parsed(stamp(b"\r\n", an_envelope(), held, SETTINGS))["X-Spam-Flag"] == "YES"


@pytest.mark.invariant("I9")
@pytest.mark.parametrize("reason", [Reason.SCAN_DOWN, Reason.UNSCANNABLE, Reason.RELEASED, Reason.ALLOWED])
def test_i9_message_without_a_scan_is_never_called_ham(reason: Reason) -> None:
    block, _ = stamped(b"Subject: x\r\n\r\n", Decision(action=Action.ACCEPT, reason=reason))

    assert f"X-Spam-Status: Unscanned, reason={reason.value}".encode() in block
    assert b"No," not in block
    assert b"X-Spam-Score" not in block


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Subject: hi\r\n", b"Subject: [SPAM] hi\r\n"),
        (b"Subject:hi\r\n", b"Subject: [SPAM] hi\r\n"),
        (b"SUBJECT : hi\r\n", b"SUBJECT : [SPAM] hi\r\n"),
        (b"Subject:\r\n folded\r\n", b"Subject: [SPAM]\r\n folded\r\n"),
        (b"Subject: [SPAM] hi\r\n", b"Subject: [SPAM] hi\r\n"),
        (b"Subject: =?utf-8?q?=C3=A9?=\r\n", b"Subject: [SPAM] =?utf-8?q?=C3=A9?=\r\n"),
        (b"Subject: a\r\nSubject: b\r\n", b"Subject: [SPAM] a\r\nSubject: b\r\n"),
        (b"X-Subject: a\r\nSubject: b\r\n", b"X-Subject: a\r\nSubject: [SPAM] b\r\n"),
    ],
)
def test_subject_tag_is_spliced_into_the_first_subject(before: bytes, after: bytes) -> None:
    _, rest = stamped(b"To: a@b\r\n" + before + b"\r\nSubject: body\r\n", SPAM)

    assert rest == b"To: a@b\r\n" + after + b"\r\nSubject: body\r\n"


def test_subject_tag_without_a_subject_adds_one() -> None:
    out = stamp(b"To: a@b\r\n\r\nSubject: body\r\n", an_envelope(), SPAM, SETTINGS)

    assert out.endswith(b"Subject: [SPAM]\r\nTo: a@b\r\n\r\nSubject: body\r\n")


@given(p=st.floats(0, 1), q=st.floats(0, 1), at=st.floats(0, 1))
def test_score_rises_with_probability_and_crosses_five_at_the_threshold(p: float, q: float, at: float) -> None:
    def score(probability: float) -> float:
        return score_of(Scan(probability=probability, logit=0.0, model="m", points={}), at)

    assert (score(p) >= 5.0) == (p >= at)
    assert score(min(p, q)) <= score(max(p, q))


@given(raw=st.binary(max_size=200), front=st.sampled_from([b"", b"Received: x\r\n", b"A: b\r\n c\r\n"]))
def test_release_is_found_behind_lines_of_later_hops(raw: bytes, front: bytes) -> None:
    released = front + release_header(raw, ID, SETTINGS) + raw

    assert find_release(released, SETTINGS) == ID


@pytest.mark.parametrize(
    "change",
    [
        lambda line, raw: line + raw + b"x",
        lambda line, raw: line.replace(b"1 ", b"2 ", 1) + raw,
        lambda line, raw: line[:-4] + b"00\r\n" + raw,
        lambda line, raw: b" " + line + raw,
        lambda line, raw: b"Subject: x\r\n\r\n" + line + raw,
        lambda line, raw: b"X-Filterd-Release: " + b"0" * 32 + b" " + b"0" * 64 + b"\r\n" + line + raw,
    ],
    ids=["longer", "other-id", "other-code", "continuation", "body", "second"],
)
def test_release_that_was_tampered_with_is_not_valid(change) -> None:
    raw = b"Subject: x\r\n\r\nbody\r\n"

    assert find_release(change(release_header(raw, ID, SETTINGS), raw), SETTINGS) is None


def test_release_with_another_key_or_none_is_not_valid() -> None:
    raw = b"Subject: x\r\n\r\n"
    unkeyed = replace(SETTINGS, release_key=b"")

    assert find_release(release_header(raw, ID, SETTINGS) + raw, replace(SETTINGS, release_key=b"b")) is None
    assert find_release(release_header(raw, ID, unkeyed) + raw, unkeyed) is None


def test_release_header_is_removed_on_the_way_out() -> None:
    raw = b"Subject: x\r\n\r\nbody\r\n"

    _, rest = stamped(release_header(raw, ID, SETTINGS) + raw, Decision(action=Action.ACCEPT, reason=Reason.RELEASED))

    assert rest == raw


def test_count_hops_counts_received_lines_of_the_header_only() -> None:
    raw = b"Received: a\r\nRECEIVED : b\r\n c\r\nX-Received: d\r\nreceived:e\r\n\r\nReceived: body\r\n"

    assert count_hops(raw) == 3


@pytest.mark.parametrize(
    "unit",
    [
        b"X-Spam-Flag: NO\r\n",
        b"a: " + b"(" * 100 + b"\r\n",
        b"\n",
        b"\r",
        b" x\r\n",
        b"Authentication-Results: (((\r\n",
    ],
)
def test_stamp_takes_linear_time(unit: bytes) -> None:
    """Quadratic work on these would take minutes and run into the limit of a test."""
    raw = b"Authentication-Results: " + unit * 20_000 + b"Subject: x\r\n\r\n"

    assert stamp(raw, an_envelope(), SPAM, SETTINGS)

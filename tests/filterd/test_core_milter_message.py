"""A message put together from what a mail server shows, and the changes it is asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.headers import Stamp, stamp
from filterd.core.milter_codec import Header
from filterd.core.milter_message import edits, rebuild
from filterd.core.verdict import Action, Decision, Reason
from filterd.testing import a_scan, an_envelope
from tests.filterd.milter_dialogue import Field, changed, frames_in

STAMP = Stamp(hostname="gw.example", trusted_authserv_ids=frozenset({"mx.example.net"}))
HAM = Decision(action=Action.ACCEPT, reason=Reason.HAM, scan=a_scan())
TAGGED = Decision(action=Action.TAG, reason=Reason.SPAM, scan=a_scan(0.9), threshold=0.5, subject_tag="[SPAM]")
NAMES = st.sampled_from(
    (
        *(b"Subject", b"subject", b"From", b"X-Spam-Flag", b"x-spam-flag", b"X-Filterd-Id", b"Received"),
        *(b"X\x01-Spam", b"Authentication-Results", b"X-Spammy", b"List-Id"),
    )
)
VALUES = st.sampled_from(
    (
        *(b" hello", b"\n\tfolded", b" a\n b\n\tc", b"", b" mx.example.net; dmarc=pass", b" x; dmarc=pass", b" YES"),
        *(b"[SPAM] won", b" a\rX-Spam-Flag: NO", b" caf\xc3\xa9"),
    )
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=8)
ODD = st.just(b" a\rX-Spam-Flag: NO\rb: c")


def _headers(fields: list[Field], *, is_spaced: bool) -> tuple[Header, ...]:
    return tuple(Header(name=n, value=v if is_spaced else v.removeprefix(b" ")) for n, v in fields)


def _after(fields: list[Field], decision: Decision, *, is_spaced: bool = True) -> list[Field]:
    headers = _headers(fields, is_spaced=is_spaced)
    asked = b"".join(edits(headers, an_envelope(), decision, STAMP, is_spaced=is_spaced))
    return changed(fields, frames_in(asked), is_spaced=is_spaced)


@given(FIELDS)
@pytest.mark.parametrize("decision", [HAM, TAGGED], ids=["ham", "tagged"])
def test_headers_when_changed_by_the_mail_server_are_those_of_the_smtp_edge(
    decision: Decision, fields: list[Field]
) -> None:
    """But for the trace line, both edges make the same message, whatever the sender wrote."""
    raw = b"".join(name + b":" + value + b"\n" for name, value in fields) + b"\nbody\n"

    stamped = stamp(raw.replace(b"\n", b"\r\n"), an_envelope(), decision, STAMP)
    trace, _, rest = stamped.partition(b"X-Filterd-Id")
    after = b"".join(name + b":" + value + b"\n" for name, value in _after(fields, decision))

    assert trace.startswith(b"Received: ")
    # A stray CR is no line end for a mail server, so what follows it can stay only as a part of its field.
    assert after.replace(b"\r", b"") + b"\nbody\n" == (b"X-Filterd-Id" + rest).replace(b"\r", b"")


@given(st.lists(st.tuples(NAMES, VALUES | ODD), max_size=8))
def test_header_when_forged_is_gone_under_every_reading(fields: list[Field]) -> None:
    """Nothing that only we may write is left behind ours, even for a reader that ends lines at a stray CR."""
    after = _after(fields, HAM)
    ours = len(_after([(b"A", b"")], HAM)) - 1
    text = b"\n".join(name + b":" + value for name, value in after[ours:]).lower()

    lines = text.replace(b"\r", b"\n").replace(b"\x01", b"").split(b"\n")
    assert not [line for line in lines if line.startswith((b"x-spam-flag", b"x-spam:", b"x-filterd"))]


@pytest.mark.parametrize("is_spaced", [True, False], ids=["spaced", "bare"])
@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ([(b"Subject", b" you won")], [(b"Subject", b" [SPAM] you won")]),
        ([(b"SUBJECT", b" a"), (b"Subject", b" b")], [(b"SUBJECT", b" [SPAM] a"), (b"Subject", b" b")]),
        ([(b"Subject", b" [SPAM] you won")], [(b"Subject", b" [SPAM] you won")]),
        ([(b"Subject", b"\n\tyou won")], [(b"Subject", b" [SPAM]\n\tyou won")]),
    ],
    ids=["plain", "first-of-two", "tagged", "folded"],
)
def test_subject_when_tagged_is_the_first_and_tagged_once(
    subject: list[Field], expected: list[Field], *, is_spaced: bool
) -> None:
    """The tag stands where readers look for it."""
    after = _after(subject, TAGGED, is_spaced=is_spaced)

    found = [(name, value) for name, value in after if name.lower() == b"subject"]
    assert [(n, v.replace(b" \n", b"\n")) for n, v in found] == expected


def test_subject_when_there_is_none_is_added() -> None:
    """A message without subject gets one, in front."""
    after = _after([(b"From", b" a@b.example")], TAGGED)

    assert (b"Subject", b" [SPAM]") in after


@given(FIELDS, st.binary(max_size=60))
def test_message_when_put_together_has_crlf_only(fields: list[Field], body: bytes) -> None:
    """No line end stands alone in what is scanned, held and perhaps sent on."""
    raw = rebuild(_headers(fields, is_spaced=True), body, is_spaced=True)

    assert raw.count(b"\r\n") == raw.count(b"\r") == raw.count(b"\n")


def test_message_when_put_together_is_the_original() -> None:
    """Spaces, tabs and folds come out as the client sent them."""
    fields = [(b"From", b" a@b.example"), (b"X-Odd", b"\t folded \n\tline  "), (b"X-None", b"value")]

    raw = rebuild(_headers(fields, is_spaced=True), b"body\r\n", is_spaced=True)

    assert raw == b"From: a@b.example\r\nX-Odd:\t folded \r\n\tline  \r\nX-None:value\r\n\r\nbody\r\n"


def test_message_without_headers_is_a_body() -> None:
    """The empty line that ends the headers is there even then."""
    assert rebuild((), b"body\r\n", is_spaced=True) == b"\r\nbody\r\n"


def test_status_when_nothing_was_scored_says_so() -> None:
    """What was not scored is not called ham."""
    unscanned = replace(HAM, scan=None, reason=Reason.SCAN_DOWN)

    assert (b"X-Spam-Status", b" Unscanned, reason=scan_down") in _after([], unscanned)

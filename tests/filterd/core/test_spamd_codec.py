"""spamd's requests and replies to the octet."""

from __future__ import annotations

import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.advice import Advice, Marks
from filterd.core.envelope import MessageId
from filterd.core.spamd_codec import (
    Code,
    Dialect,
    Request,
    Verb,
    answer,
    failure,
    inflate,
    parse_request,
    pong,
    rewritten,
    told,
)
from filterd.core.verdict import Action, Decision, Label, Reason
from filterd.errors import FilterdError, MessageTooLarge, RequestInvalid
from filterd.testing import a_scan

ID = MessageId("0" * 31 + "1")
SPAM = Advice(
    id=ID,
    decision=Decision(action=Action.TAG, reason=Reason.SPAM, scan=a_scan(0.99)),
    marks=Marks(first=0.6),
)
HAM = Advice(
    id=ID,
    decision=Decision(action=Action.ACCEPT, reason=Reason.HAM, scan=a_scan(0.01)),
    marks=Marks(first=0.6),
)


def ask(verb: Verb, minor: int = 5, dialect: Dialect = Dialect.SPAMC) -> Request:
    return Request(verb=verb, dialect=dialect, version=(1, minor))


def reply(request: Request, advice: Advice = SPAM) -> str:
    return answer(request, advice, hostname="mx.example", quarantine_as="add header").decode()


def test_request_of_exim_to_rspamd_is_read_with_every_recipient() -> None:
    """Exim says who a message is from and to, and who sent it, in lines of their own."""
    head = (
        b"CHECK RSPAMC/1.3\r\nContent-length: 42\r\nQueue-Id: 1q\r\nFrom: <eve@example.com>\r\nRecipient-Number: 2\r\n"
        b"Rcpt: <a@example.net>\r\nRcpt: <b@example.net>\r\nHelo: x\r\nHostname: h\r\nIP: 192.0.2.1\r\nUser: ann"
    )
    request = parse_request(head)

    assert (request.verb, request.dialect, request.length, request.user) == (Verb.CHECK, Dialect.RSPAMC, 42, "ann")
    assert request.first("from") == "eve@example.com"
    assert request.fields["rcpt"] == ("a@example.net", "b@example.net")
    assert request.first("ip") == "192.0.2.1"


def test_request_of_spamc_is_read_whatever_the_case_of_its_lines() -> None:
    """Names of fields, classes and databases are taken in any case."""
    request = parse_request(
        b"TELL SPAMC/1.5\r\nMESSAGE-CLASS: Spam\r\nset: Local, remote\r\nUser: Ann@x\r\ncompress: zlib"
    )

    assert (request.label, sorted(request.sets), sorted(request.removes)) == (Label.SPAM, ["local", "remote"], [])
    assert (request.user, request.is_compressed, request.length) == ("Ann@x", True, None)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"POST /checkv2 HTTP/1.1\r\nHost: x",
        b"EAT SPAMC/1.5",
        b"TELL RSPAMC/1.3",
        b"CHECK SPAMC/15",
        b"CHECK SPAMC/1.5\r\nno colon",
        b"CHECK SPAMC/1.5\r\nContent-length: -1",
        b"CHECK SPAMC/1.5\r\nContent-length: 1e9",
        b"CHECK SPAMC/1.5\r\nCompress: zstd",
        b"TELL SPAMC/1.5\r\nMessage-class: phish",
        b"CHECK SPAMC/1.5\r\nUser: a\rSet: local",
    ],
    ids=["empty", "http", "verb", "tell-rspamc", "version", "colon", "negative", "float", "zstd", "class", "bare-cr"],
)
def test_request_that_is_none_is_refused(head: bytes) -> None:
    """What the protocol does not know is an error, not a guess."""
    with pytest.raises(RequestInvalid):
        parse_request(head)


@given(st.binary(max_size=200) | st.from_regex(rb"(CHECK|TELL) R?SPAMC/1\.[0-9](\r\n[ -~]{0,30})*", fullmatch=True))
def test_request_of_any_octets_is_read_or_refused_by_our_errors(head: bytes) -> None:
    """No octets raise anything else, and what is read holds no control character."""
    try:
        request = parse_request(head)
    except FilterdError as exc:
        values = [exc.detail.replace(" ", "")]
    else:
        values = [request.user, *(value for values in request.fields.values() for value in values)]
    assert all(re.fullmatch(r"[!-~]{0,320}", value) for value in values)


@given(st.binary(max_size=5_000), st.integers(0, 5_000))
def test_b4_message_when_compressed_comes_back_or_breaks_the_limit(raw: bytes, most: int) -> None:
    """Never more than the limit is inflated."""
    if len(raw) > most:
        with pytest.raises(MessageTooLarge):
            inflate(zlib.compress(raw), most)
    else:
        assert inflate(zlib.compress(raw), most) == raw


def test_b4_message_when_compressed_a_thousandfold_is_too_large_before_it_is_made() -> None:
    """A bomb of a gigabyte costs what the limit allows."""
    bomb = zlib.compress(bytes(1 << 26), 9)

    with pytest.raises(MessageTooLarge):
        inflate(bomb, 100_000)


@pytest.mark.parametrize("data", [b"", b"plain", zlib.compress(b"x" * 99)[:-5]], ids=["empty", "plain", "cut"])
def test_message_when_it_cannot_be_inflated_is_refused(data: bytes) -> None:
    """Half a message is not judged."""
    with pytest.raises(RequestInvalid):
        inflate(data, 1_000)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (ask(Verb.CHECK), "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 9.2 / 5.0\r\n\r\n"),
        (ask(Verb.CHECK, 2), "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 9.2 / 5.0\r\n\r\n"),
        (
            ask(Verb.SYMBOLS),
            f"SPAMD/1.1 0 EX_OK\r\nContent-length: 48\r\nSpam: True ; 9.2 / 5.0\r\n\r\nSPAM,FILTERD_ID_{ID}",
        ),
        (
            ask(Verb.SYMBOLS, 2),
            f"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 9.2 / 5.0\r\n\r\nSPAM,FILTERD_ID_{ID}\r\n",
        ),
    ],
    ids=["check", "check-1.2", "symbols", "symbols-1.2"],
)
def test_answer_is_written_to_the_letter(request_: Request, expected: str) -> None:
    """Clients read replies with sscanf."""
    assert reply(request_) == expected


def test_answer_to_exim_has_the_result_in_its_first_header_line() -> None:
    """Exim says SPAMC/1.2, and its sscanf knows no Content-length in front of the result."""
    assert reply(ask(Verb.REPORT, 2)).startswith(
        "SPAMD/1.1 0 EX_OK\r\nSpam: True ; 9.2 / 5.0\r\n\r\nSpam filter on mx."
    )


def test_answer_to_report_ifspam_has_a_report_of_spam_only() -> None:
    """Ham has none; the result is Yes or No there."""
    spam, ham = reply(ask(Verb.REPORT_IFSPAM)), reply(ask(Verb.REPORT_IFSPAM), HAM)

    assert "Spam: Yes ; 9.2 / 5.0\r\n" in spam
    assert f"X-Filterd-Id: {ID}\r\n" in spam
    assert ham == "SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\nSpam: No ; 0.0 / 5.0\r\n\r\n"


def test_answer_in_rspamc_has_metric_and_action_where_exim_looks_for_them() -> None:
    """The lines Exim scans come first and in this form."""
    lines = reply(ask(Verb.CHECK, 3, Dialect.RSPAMC)).split("\r\n")

    assert lines == [
        "RSPAMD/1.3 0 EX_OK",
        "Metric: default; True; 10.20 / 15.00 / 0.0",
        "Action: add header",
        "Symbol: SPAM(0.00)",
        f"X-Filterd-Id: {ID}",
        "",
    ]


@pytest.mark.parametrize(
    ("minor", "head"),
    [
        (5, b"SPAMD/1.1 0 EX_OK\r\nContent-length: 3\r\nSpam: True ; 9.2 / 5.0\r\n\r\n"),
        (2, b"SPAMD/1.1 0 EX_OK\r\nContent-length: 3\r\n\r\n"),
        (1, b"SPAMD/1.0 0 EX_OK\r\n"),
    ],
    ids=["1.5", "1.2", "1.1"],
)
def test_rewritten_message_has_the_header_its_client_knows(minor: int, head: bytes) -> None:
    """Old clients know fewer lines."""
    assert rewritten(ask(Verb.PROCESS, minor), SPAM, b"abc") == head + b"abc"


def test_short_replies_are_those_of_spamd() -> None:
    """PING, TELL and failures."""
    assert pong(Dialect.SPAMC) == b"SPAMD/1.5 0 PONG\r\n"
    assert told(sets=True, removes=False) == b"SPAMD/1.1 0 EX_OK\r\nDidSet: local\r\n\r\n\r\n"
    assert told(sets=False, removes=True) == b"SPAMD/1.1 0 EX_OK\r\nDidRemove: local\r\n\r\n\r\n"
    assert failure(Dialect.SPAMC, Code.TEMPFAIL, "a\r\nb") == b"SPAMD/1.0 75 a??b\r\n"
    assert failure(Dialect.RSPAMC, Code.TEMPFAIL, "x") == b"RSPAMD/1.3 75 x\r\n"

"""What a trusted server found out about a message, whoever else says the same."""

from __future__ import annotations

import time
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filterd.core.auth_results import MAX_VALUE_CHARS, auth_signals, parse
from filterd.core.domains import Domains

TRUSTED = frozenset({"mx.example.net"})
AUTHOR = "ann@news.example.org"
FROM = "From: Ann <ann@news.example.org>\r\n"
OUR_TRACE = "Received: from a (b [192.0.2.1])\r\n\tby mx.example.net (Postfix) with ESMTP id 1; Thu, 1 Jan 2026\r\n"
THEIR_TRACE = "Received: from x by relay.example.com with ESMTP; Thu, 1 Jan 2026\r\n"


@cache
def _domains() -> Domains:
    return Domains()


def _signals(*fields: str, author: str = AUTHOR) -> tuple[str, ...]:
    raw = "".join(fields).encode() + FROM.encode() + b"\r\nbody\r\n"
    return auth_signals(raw, TRUSTED, author, _domains())


def _ours(value: str) -> str:
    return f"Authentication-Results: mx.example.net; {value}\r\n"


READ = [
    ("mx.example.net; none", []),
    ("mx.example.net 1; spf=pass smtp.mailfrom=example.org", [("spf", "pass", {"smtp.mailfrom": "example.org"})]),
    ('"mx.example.net"; dkim=fail reason="bad; sig" header.d=A.example', [("dkim", "fail", {"header.d": "a.example"})]),
    ("mx.example.net (a (nested; one) \\) still); dmarc=pass (p=none)", [("dmarc", "pass", {})]),
    (
        "mx.example.net; dkim = pass (good) header . d = a.example; dkim/1=pass header.i=@b.example",
        [("dkim", "pass", {"header.d": "a.example"}), ("dkim", "pass", {"header.i": "@b.example"})],
    ),
    ("mx.example.net;\r\n\tspf=hardfail\r\n\tsmtp.helo=x", [("spf", "fail", {"smtp.helo": "x"})]),
    ("mx.example.net; spf=pass smtp.mailfrom=a=b@c.example", [("spf", "pass", {"smtp.mailfrom": "a=b@c.example"})]),
    ("mx.example.net; ; =; dkim; spf=pass-ish; dmarc=pass", [("dmarc", "pass", {})]),
    ("mx.example.net; spf=pass (unfinished; dmarc=pass", [("spf", "pass", {})]),
    ('mx.example.net; spf=pass reason="unfinished; dmarc=pass', [("spf", "pass", {})]),
]


@pytest.mark.parametrize(
    ("value", "expected"),
    READ,
    ids=["none", "version", "quoted", "comments", "spaces", "folded", "equals", "noise", "open-comment", "open-quote"],
)
def test_field_when_written_as_the_standard_allows_is_read(
    value: str, expected: list[tuple[str, str, dict[str, str]]]
) -> None:
    """Comments, quotes, folds and spaces stand where RFC 8601 lets them; what is broken is left out."""
    found = parse(value)

    assert found is not None
    assert found.authserv_id == "mx.example.net"
    assert [(r.method, r.result, dict(r.properties)) for r in found.results] == expected


def test_field_when_sealed_has_an_instance() -> None:
    """ARC puts a number in front of the server's name (RFC 8617)."""
    found = parse("i=12; mx.example.net; spf=pass")

    assert found is not None
    assert (found.instance, found.authserv_id, len(found.results)) == (12, "mx.example.net", 1)


@pytest.mark.parametrize("value", ["", ";", "  ; spf=pass", "a b; spf=pass", "(all comment", "i=1;"], ids=repr)
def test_field_when_it_names_no_server_is_none(value: str) -> None:
    """Whose findings they are is the first that must be known."""
    assert parse(value) is None


WORDS = st.lists(
    st.sampled_from(
        ["mx.example.net", ";", "dkim=pass", '"', "\\", "(", ")", "=", " ", "\r\n ", "reason=", "i=1", ".", "a"]
    )
).map("".join)


@given(st.text() | WORDS)
def test_field_when_it_is_anything_at_all_is_read_or_not(value: str) -> None:
    """Nothing raises, and results have the form of words."""
    found = parse(value)

    for result in found.results if found else ():
        assert result.method.isascii()
        assert result.result.isalpha()


@given(st.binary() | WORDS.map(str.encode))
@example(b"Authentication-Results: mx.example.net; dmarc=pass")
def test_message_when_it_is_anything_at_all_gives_signals_or_none(raw: bytes) -> None:
    """Nothing raises on the octets of a header block either."""
    found = auth_signals(b"Authentication-Results: mx.example.net; " + raw, TRUSTED, AUTHOR, _domains())

    assert list(found) == sorted(set(found))


@pytest.mark.parametrize(
    "piece",
    ['"\\', "\\", "(", "(a", '"', "a.b=", 'a.b="\\', "a-", "1", " ", "a .", "i=", ";", "=", "a.b"],
    ids=repr,
)
def test_b14_field_when_it_repeats_one_thing_is_read_in_linear_time(piece: str) -> None:
    """No expression gives back what it took: the longest field of anything takes milliseconds."""
    for head in ("", "mx.example.net; ", "mx.example.net; dkim=pass "):
        started = time.process_time()
        parse(head + piece * (MAX_VALUE_CHARS // len(piece)) + "!")
        assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("spf=pass; dkim=pass header.d=other.example; dmarc=fail", ("dkim_pass", "dmarc_fail", "spf_pass")),
        ("spf=softfail; dkim=none; dmarc=none", ("spf_softfail",)),
        ("dkim=fail header.d=example.org; dkim=pass header.d=example.org", ("dkim_aligned", "dkim_pass")),
        ("dkim=pass header.i=@mail.example.org", ("dkim_aligned", "dkim_pass")),
        ("dkim=pass header.d=org", ("dkim_pass",)),
        ("dmarc=pass header.from=news.example.org", ("dmarc_pass",)),
        ("dmarc=pass header.from=else.example", ()),
        ("dmarc=pass", ("dmarc_pass",)),
        ("arc=pass; dmarc=fail", ("arc_pass", "dmarc_fail")),
    ],
    ids=["mixed", "none", "any-good", "by-identity", "suffix", "from", "other-from", "bare", "arc"],
)
def test_findings_when_trusted_become_signals(value: str, expected: tuple[str, ...]) -> None:
    """A signal for each method that came to something; a domain vouches only for its own author."""
    assert _signals(_ours(value)) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((OUR_TRACE, _ours("dmarc=fail"), THEIR_TRACE), ("dmarc_fail",)),
        ((_ours("dmarc=fail"), _ours("dmarc=pass")), ("dmarc_fail",)),
        ((THEIR_TRACE, _ours("dmarc=pass")), ()),
        ((OUR_TRACE, THEIR_TRACE, OUR_TRACE, _ours("dmarc=pass")), ()),
        (("Authentication-Results: evil.example; dmarc=pass\r\n", _ours("dmarc=fail")), ("dmarc_fail",)),
        (("Authentication-Results: mx.example.net.evil.example; dmarc=pass\r\n",), ()),
        (("Authentication-Results: ; dmarc=pass\r\n", _ours("dmarc=fail")), ("dmarc_fail",)),
        (("X: a\rAuthentication-Results: mx.example.net; dmarc=pass\r\n",), ()),
        (("Subject: a\r\n\tAuthentication-Results: mx.example.net; dmarc=pass\r\n",), ()),
        (("Authentication-Results: i=1; mx.example.net; dmarc=pass\r\n",), ()),
        (("Received: from x (by mx.example.net) by evil.example; now\r\n", _ours("dmarc=pass")), ()),
        ((FROM, "\r\n", _ours("dmarc=pass")), ()),
    ],
    ids=[
        *(
            "below-our-trace",
            "topmost",
            "below-theirs",
            "below-both",
            "stranger-above",
            "longer-name",
            "nobody",
            "stray-cr",
        ),
        *("continued", "sealed", "comment", "body"),
    ],
)
def test_b14_findings_when_somebody_else_wrote_them_are_nothing(
    fields: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    """One field counts: the topmost of a trusted server, above the first trace line of any other."""
    assert _signals(*fields) == expected


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("arc=pass", ("arc_dmarc_pass", "arc_pass", "arc_spf_pass")),
        ("arc=fail", ("arc_fail",)),
        ("dmarc=fail", ("dmarc_fail",)),
    ],
    ids=["whole", "broken", "unchecked"],
)
def test_chain_when_a_trusted_server_found_it_whole_says_what_its_last_hop_saw(
    own: str, expected: tuple[str, ...]
) -> None:
    """The highest instance speaks, and for nobody: no such signal is the one that vouches."""
    sealed = (
        "ARC-Authentication-Results: i=1; a.example; dmarc=fail\r\n",
        "ARC-Authentication-Results: i=2; b.example; dmarc=pass; spf=pass\r\n",
    )

    assert _signals(_ours(own), THEIR_TRACE, *sealed) == expected


def test_findings_when_nobody_is_trusted_are_not_read() -> None:
    """Without trusted servers there is nothing to know."""
    assert auth_signals(_ours("dmarc=pass").encode(), frozenset(), AUTHOR, _domains()) == ()

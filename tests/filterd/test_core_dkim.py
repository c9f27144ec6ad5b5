"""A message's signatures as far as no key is needed: what is signed, and what no key would make good."""

from __future__ import annotations

import time
from functools import cache

import dkim
import pytest
from dkim.canonicalization import Relaxed, Simple
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.dkim import MAX_READ, dkim_signals, relaxed_body, signatures, simple_body
from filterd.core.domains import Domains
from filterd.core.signed import RESULTS, Signed
from filterd.dkim.keys import result_of

from .dkim_mail import AUTHOR, DOMAIN, MAIL, WAYS, ed25519_key, record, rsa_key, signed


@cache
def _domains() -> Domains:
    return Domains()


def _found(raw: bytes, author: str = AUTHOR, most: int = 5) -> tuple[Signed, ...]:
    return signatures(raw, author, _domains(), most)


def _result(raw: bytes) -> str:
    """What the only signature comes to with the right key."""
    (found,) = _found(raw)
    key = ed25519_key() if found.algorithm == "ed25519" else rsa_key()
    return found.result or result_of(found, [record(key)])


@pytest.mark.parametrize("ways", WAYS, ids=lambda ways: b"/".join(ways).decode())
@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_signature_when_another_program_made_it_then_is_good_and_changed_octets_are_not(
    ways: tuple[bytes, bytes], kind: str
) -> None:
    """Both canonicalizations, of header and of body, are those of dkimpy; what is signed cannot be changed."""
    raw = signed(key=ed25519_key() if kind == "ed25519" else None, ways=ways)

    assert _result(raw) == "pass"
    assert _result(raw.replace(b"words", b"swords")) == "fail"
    assert _result(raw.replace(b"bob@", b"eve@")) == "fail"
    assert _result(raw + b"\r\n\r\n") == "pass"
    assert _result(raw + b"more\r\n") == "fail"


@given(
    st.lists(st.sampled_from([b"\r\n", b" ", b"\t", b"word", b"a  b", b"\r\n\r\n", b".", b"\xff"]), max_size=20).map(
        b"".join
    )
)
def test_bodies_when_put_into_form_then_are_those_of_another_program(body: bytes) -> None:
    """Empty lines, white space, and a body of nothing."""
    body = body.rstrip(b" \t") + b"\r\n"
    assert simple_body(body) == Simple.canonicalize_body(body)
    assert relaxed_body(body) == Relaxed.canonicalize_body(body)


@given(
    subject=st.text(st.sampled_from("ab \t:;="), max_size=30),
    body=st.text(st.sampled_from("ab \t\n"), max_size=40),
    ways=st.sampled_from(WAYS),
)
def test_signature_when_made_of_any_mail_then_is_as_good_as_its_maker_says(
    subject: str, body: str, ways: tuple[bytes, bytes]
) -> None:
    """The two agree on every message that dkimpy signs."""
    text = body.replace("\n", "\r\n").rstrip(" \t")
    raw = signed(f"From: <{AUTHOR}>\r\nSubject:{subject}x\r\n\r\n{text}\r\n".encode(), ways=ways)

    assert dkim.verify(raw, dnsfunc=lambda _name, timeout=5: record(rsa_key()))
    assert _result(raw) == "pass"


def _edited(old: bytes, new: bytes) -> bytes:
    """A signature with something else in it; no key is asked for."""
    raw = signed()
    assert old in raw
    return raw.replace(old, new, 1)


@pytest.mark.parametrize(
    ("raw", "result"),
    [
        pytest.param(signed(length=True) + b"spam\r\n", "policy", id="octets behind the length"),
        pytest.param(_edited(b"s=sel", b"l=99999; s=sel"), "permerror", id="length beyond the body"),
        pytest.param(b"From: Eve <eve@x.example>\r\n" + signed(include=[b"from"]), "policy", id="two authors"),
        pytest.param(_edited(b"a=rsa-sha256", b"a=rsa-sha1"), "permerror", id="SHA-1"),
        pytest.param(_edited(b"v=1", b"v=2"), "permerror", id="another version"),
        pytest.param(_edited(b"s=sel", b"s=se l"), "permerror", id="selector that is no name"),
        pytest.param(_edited(b"s=sel", b"s=sel; s=sel"), "permerror", id="tag said twice"),
        pytest.param(_edited(b"d=news.", b"x=1; d=news."), "", id="in time only its verifier can tell"),
        pytest.param(
            _edited(b"d=news.example.org", b"d=news.example.org; i=@other.example"), "permerror", id="identity"
        ),
        pytest.param(_edited(b"q=dns/txt", b"q=http"), "permerror", id="another way to the key"),
        pytest.param(_edited(b"c=relaxed/relaxed", b"c=relaxed/loose"), "permerror", id="another form"),
        pytest.param(b"DKIM-Signature: what\r\n" + MAIL, "permerror", id="no tags"),
        pytest.param(b"DKIM-Signature:" + b" " * 9_000 + b"\r\n" + MAIL, "permerror", id="too long to be one"),
    ],
)
def test_b15_signature_when_no_key_makes_it_good_then_says_so_without_asking(raw: bytes, result: str) -> None:
    """RFC 6376 section 6.1.1, and what is right but proves too little."""
    assert [found.result for found in _found(raw)] == [result]


def test_b15_signatures_when_there_are_many_then_those_of_the_author_come_first_and_few_are_read() -> None:
    """Forty fields of strangers cost no more than a few and do not hide the author's."""
    strange = [b"DKIM-Signature: v=1; d=x%d.example\r\n" % n for n in range(MAX_READ)]

    found = _found(b"".join(strange[1:]) + signed(), most=3)
    beyond = _found(b"".join(strange) + signed(), most=1)

    assert [each.domain for each in found] == [DOMAIN, "x1.example", "x2.example"]
    assert [each.is_aligned for each in found] == [True, False, False]
    assert [each.domain for each in beyond] == ["x0.example"]


@given(st.binary(max_size=300), st.sampled_from([b"DKIM-Signature: ", signed()[:-90], signed()[:200]]))
def test_b15_signatures_when_the_octets_are_hostile_then_nothing_is_raised(octets: bytes, front: bytes) -> None:
    """Each comes to a result of the list or to a key that is to be asked for."""
    for found in _found(front + octets + b"\r\n\r\n" + octets):
        assert found.result in {"", *RESULTS}


@pytest.mark.parametrize(
    "body",
    [b" " * 8_000_000, b"\r\n" * 4_000_000, b"\t a" * 2_600_000, b" \r\n" * 2_600_000],
    ids=["spaces", "line ends", "tabs", "both"],
)
def test_b15_bodies_when_made_to_be_slow_then_are_not(body: bytes) -> None:
    """Eight megabytes take a fraction of a second of processor time in either form."""
    started = time.process_time()

    relaxed_body(body)
    simple_body(body)

    assert time.process_time() - started < 2.0


GOOD = Signed(domain=DOMAIN, is_aligned=True)
OTHER = Signed(domain="bulk.example")


@pytest.mark.parametrize(
    ("results", "signals"),
    [
        pytest.param([], (), id="none"),
        pytest.param([(OTHER, "neutral")], (), id="a domain that tries it out"),
        pytest.param([(OTHER, "pass")], ("dkim_pass",), id="somebody's"),
        pytest.param([(GOOD, "fail"), (OTHER, "pass")], ("dkim_pass",), id="any good one is enough"),
        pytest.param([(OTHER, "fail"), (GOOD, "pass")], ("dkim_aligned", "dkim_pass"), id="the author's"),
        pytest.param([(GOOD, "temperror"), (OTHER, "fail")], ("dkim_temperror",), id="else the first"),
    ],
)
def test_signals_when_signatures_have_come_to_something_then_are_those_of_a_trusted_server(
    results: list[tuple[Signed, str]], signals: tuple[str, ...]
) -> None:
    """The policy reads the same names, whoever has verified."""
    assert dkim_signals(results) == signals

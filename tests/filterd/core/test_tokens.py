import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.tokens import DEFAULT_HASHING, Extractor, Tokens
from filterd.errors import Unscannable

MAIL = b"From: Ann <ann@example.org>\r\nTo: b@example.net\r\nSubject: %s\r\n\r\n%s\r\n"


@pytest.fixture(scope="module")
def email() -> Extractor:
    return Extractor(Channel.EMAIL, DEFAULT_HASHING[Channel.EMAIL], ParseLimits())


@pytest.fixture(scope="module")
def sms() -> Extractor:
    return Extractor(Channel.SMS, DEFAULT_HASHING[Channel.SMS], ParseLimits())


def _check(tokens: Tokens, extractor: Extractor) -> None:
    hashing = extractor.hashing
    assert tokens.tokens.shape == (hashing.max_tokens, hashing.grams)
    assert tokens.tokens.dtype == tokens.wide.dtype == np.int32
    assert 1 <= tokens.length <= hashing.max_tokens
    assert (tokens.tokens[: tokens.length, 0] > 0).all()
    assert (tokens.tokens[tokens.length :] == 0).all()
    assert tokens.tokens.min() >= 0
    assert tokens.tokens.max() < hashing.token_buckets
    wide = tokens.wide[tokens.wide > 0]
    assert len(np.unique(wide)) == len(wide)
    assert tokens.wide.max() < hashing.wide_buckets
    assert tokens.side.shape == (len(hashing.side),)
    assert np.isfinite(tokens.side).all()
    assert tokens.side.min() >= 0
    assert tokens.side.max() <= 12


@given(raw=st.binary(max_size=400))
def test_encode_whatever_the_mail_gives_ids_in_range(email: Extractor, raw: bytes) -> None:
    try:
        tokens = email(raw).tokens
    except Unscannable:
        return

    _check(tokens, email)


@given(text=st.text(max_size=300))
def test_encode_whatever_the_sms_gives_ids_in_range(sms: Extractor, text: str) -> None:
    _check(sms(text.encode("utf-8", "replace")).tokens, sms)


@pytest.mark.parametrize("raw", [b"", b"\r\n\r\n", b"\0"], ids=["empty", "no-body", "nul"])
def test_encode_when_nothing_is_said_gives_a_token(email: Extractor, sms: Extractor, raw: bytes) -> None:
    _check(email(raw).tokens, email)
    _check(sms(raw).tokens, sms)


def test_encode_when_other_messages_went_before_gives_the_same(email: Extractor) -> None:
    raw = MAIL % (b"Meeting on Monday", b"See you at 10:30 in room 4, bring the report.")
    first = email(raw).tokens
    for i in range(50):
        email(MAIL % (b"x", b"word%d other%d" % (i, i * 7)))
    again = email(raw).tokens
    fresh = Extractor(Channel.EMAIL, email.hashing, ParseLimits())(raw).tokens

    for other in (again, fresh):
        assert (other.tokens == first.tokens).all()
        assert (other.wide == first.wide).all()
        assert (other.side == first.side).all()


def test_encode_when_body_is_long_reads_beginning_end_and_links(email: Extractor) -> None:
    body = b"first " + b"middle " * 2_000 + b"last"
    extracted = email(MAIL % (b"Hello", body))

    assert extracted.tokens.length == email.hashing.max_tokens
    assert extracted.features.body[0] == "first"
    assert extracted.features.body[-1] == "last"


@pytest.mark.parametrize(
    "header",
    [b"X-Spam-Flag: YES", b"List-Id: <x.example.org>", b"Received: from a by b", b"X-Keywords: spam"],
    ids=lambda h: h.split(b":")[0].decode(),
)
def test_extract_when_a_collector_left_a_header_reads_nothing_of_it(email: Extractor, header: bytes) -> None:
    plain = MAIL % (b"Hello", b"Lunch?")
    marked = header + b"\r\n" + plain
    one, other = email(plain), email(marked)

    assert one.features.facts == other.features.facts
    assert (one.tokens.wide == other.tokens.wide).all()
    assert (one.tokens.tokens == other.tokens.tokens).all()


@pytest.mark.parametrize("tag", [b"[SPAM] ", b"[ilug] ", b"*****SPAM***** ", b"Re: [list] "])
def test_extract_when_subject_is_tagged_reads_past_the_tag(email: Extractor, tag: bytes) -> None:
    assert email(MAIL % (tag + b"Cheap", b"x")).features.head[:2] == ("<subj>", "cheap")

"""A model's input survives being kept, and nothing else is taken for one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.token_codec import hashing_key, pack, unpack
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from tests.filterd import composed

HASHING = DEFAULT_HASHING[Channel.SMS]
SMS = Extractor(Channel.SMS, HASHING, ParseLimits())


@given(st.text(max_size=2_000))
def test_input_comes_back_as_it_was(text: str) -> None:
    tokens = SMS(text.encode("utf-8", "surrogatepass")).tokens

    again = unpack(pack(tokens, HASHING), HASHING)

    assert again.length == tokens.length
    for name in ("tokens", "wide", "side"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tokens, name))
        assert getattr(again, name).dtype == getattr(tokens, name).dtype


def test_mail_s_input_comes_back_and_is_small() -> None:
    hashing = DEFAULT_HASHING[Channel.EMAIL]
    tokens = Extractor(Channel.EMAIL, hashing, ParseLimits())(composed.mail(3)).tokens
    data = pack(tokens, hashing)

    assert len(data) < 12_000
    np.testing.assert_array_equal(unpack(data, hashing).tokens, tokens.tokens)


def test_embedding_with_many_rows_has_ids_of_four_octets() -> None:
    large = replace(HASHING, token_buckets=1 << 20)
    tokens = SMS(b"one two three four").tokens
    tokens.tokens[0, 0] = 1_000_000

    assert unpack(pack(tokens, large), large).tokens[0, 0] == 1_000_000


@given(st.binary(max_size=600))
def test_other_octets_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"model|short"):
        unpack(data, HASHING)


def test_input_of_another_hashing_is_refused() -> None:
    data = pack(SMS(b"one two three four").tokens, HASHING)

    for other in (replace(HASHING, grams=5), replace(HASHING, side=HASHING.side[1:])):
        assert hashing_key(other) != hashing_key(HASHING)
        with pytest.raises(ValueError, match="this hashing"):
            unpack(data, other)
    with pytest.raises(ValueError, match="beyond"):
        unpack(data, replace(HASHING, token_buckets=2))

"""The GSM alphabet, octet by octet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core import gsm


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"Hi \x00 \x02\x35 caf\x05", "Hi @ $5 café"),
        (b"5\x1be \x1b<ok\x1b>", "5€ [ok]"),
        (b"a\x1bb", "ab"),
        (b"a\x1b", "a"),
        (b"a\x1b\x1bb", "a b"),
        (b"\xe9", "é"),
    ],
    ids=["basic", "extended", "not-extended", "lone-escape", "two-escapes", "beyond"],
)
def test_decode_when_octets_are_of_the_alphabet_then_its_characters_come_out(octets: bytes, text: str) -> None:
    assert gsm.decode(octets) == text


@given(octets=st.binary())
def test_decode_when_octets_are_arbitrary_then_there_is_text(octets: bytes) -> None:
    """Never an error, and never more characters than octets."""
    assert len(gsm.decode(octets)) <= len(octets)


def test_decode_when_the_whole_basic_table_is_read_then_no_two_octets_are_the_same() -> None:
    text = "".join(gsm.decode(bytes((octet,))) for octet in range(128))

    assert len(set(text)) == 127  # the escape alone is no character

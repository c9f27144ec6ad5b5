"""Replies of a next hop: strict, bounded, safe to pass on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.smtp_reply import MAX_LINE_BYTES, MAX_TEXT_CHARS, Offers, ReplyParser, clean_text
from filterd.core.verdict import Reply
from filterd.errors import RelayUnavailable


def parse(*chunks: bytes) -> list[Reply]:
    parser = ReplyParser()
    return [reply for chunk in chunks for reply in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("wire", "reply"),
    [
        (b"250 ok\r\n", Reply(code=250, lines=("ok",))),
        (b"250\r\n", Reply(code=250, lines=("",))),
        (b"550 5.1.1 No such user\r\n", Reply(code=550, enhanced="5.1.1", lines=("No such user",))),
        (b"550 5.1.1\r\n", Reply(code=550, enhanced="5.1.1", lines=("",))),
        (b"550-5.1.1 a\r\n550 5.1.1 b\r\n", Reply(code=550, enhanced="5.1.1", lines=("a", "b"))),
        (b"550-5.1.1 a\r\n550 5.7.1 b\r\n", Reply(code=550, lines=("5.1.1 a", "5.7.1 b"))),
        (b"250 5.1.1 odd class\r\n", Reply(code=250, lines=("5.1.1 odd class",))),
        (b"250 bare lf\n", Reply(code=250, lines=("bare lf",))),
        (b"450 caf\xc3\xa9\x07\r\n", Reply(code=450, lines=("caf??",))),
    ],
)
def test_parser_reads(wire: bytes, reply: Reply) -> None:
    assert parse(wire) == [reply]


@pytest.mark.parametrize(
    "wire",
    [
        b"hello\r\n",
        b"99 x\r\n",
        b"150 x\r\n",
        b"650 x\r\n",
        b"2500 x\r\n",
        b"250-a\r\n251 b\r\n",
        b"\r\n",
        b"250 " + b"x" * MAX_LINE_BYTES + b"\r\n",
        b"x" * (MAX_LINE_BYTES + 1),
        (b"250-" + b"x" * 1000 + b"\r\n") * 100,
    ],
    ids=["text", "two-digits", "1yz", "6yz", "four-digits", "two-codes", "empty", "long", "endless", "huge"],
)
def test_parser_of_garbage_raises(wire: bytes) -> None:
    with pytest.raises(RelayUnavailable):
        parse(wire)


@given(data=st.data(), lines=st.lists(st.text("ab .-5", max_size=20), min_size=1, max_size=4))
def test_parser_split_anywhere_gives_what_one_chunk_gives(data: st.DataObject, lines: list[str]) -> None:
    wire = b"".join(f"250-{line}\r\n".encode() for line in lines) + b"250 end\r\n" + b"354 go\r\n"
    cut = data.draw(st.integers(0, len(wire)))

    assert parse(wire[:cut], wire[cut:]) == parse(wire)
    assert [reply.code for reply in parse(wire)] == [250, 354]


@given(wire=st.binary(max_size=300))
def test_parser_of_anything_gives_replies_or_raises_ours(wire: bytes) -> None:
    try:
        replies = parse(wire)
    except RelayUnavailable:
        return

    for reply in replies:
        assert 200 <= reply.code < 600
        assert all(line.isprintable() and line.isascii() for line in reply.lines)


@given(text=st.text(max_size=1000))
def test_clean_text_is_one_short_printable_line(text: str) -> None:
    cleaned = clean_text(text)

    assert len(cleaned) <= MAX_TEXT_CHARS
    assert all(" " <= c <= "~" for c in cleaned)


def test_offers_reads_keywords_and_parameters() -> None:
    offers = Offers.of(Reply(code=250, lines=("mx.example", "size 1000", "Pipelining", "XFORWARD NAME ADDR", "dsn")))

    assert offers.max_bytes == 1000
    assert "PIPELINING" in offers
    assert "DSN" in offers
    assert "MX.EXAMPLE" not in offers
    assert offers.forwards == {"NAME", "ADDR"}


@pytest.mark.parametrize("size", ["", "x", "-1", "1 2", "9" * 30])
def test_offers_with_an_odd_size_names_no_limit(size: str) -> None:
    assert Offers.of(Reply(code=250, lines=("mx", f"SIZE {size}"))).max_bytes == 0

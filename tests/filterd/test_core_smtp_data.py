"""The end-of-data codec against a reference that is too slow to use and too short to be wrong."""

from __future__ import annotations

import itertools
import re
import smtplib

import pytest
from aiosmtplib.protocol import PERIOD_REGEX, normalize_message_line_endings
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.smtp_data import OVERRUN_BYTES, DataReceiver, emit, has_bare_newline
from filterd.errors import BareNewline, MessageTooLarge

ALPHABET = (b"\r", b"\n", b".", b"\0", b"x", b" ")
WIRE = st.lists(st.sampled_from([b"\r\n", b"\r\n.", b".", b"\r", b"\n", b"\0", b"x", b"ab c"]), max_size=40).map(
    b"".join
)
ENDINGS = {
    "lf-dot-lf": b"\n.\n",
    "lf-dot-cr": b"\n.\r",
    "cr-dot-lf": b"\r.\n",
    "cr-dot-cr": b"\r.\r",
    "lf-dot-crlf": b"\n.\r\n",
    "cr-dot-crlf": b"\r.\r\n",
    "crlf-nul-dot-crlf": b"\r\n\0.\r\n",
    "crlf-dot-crcrlf": b"\r\n.\r\r\n",
    "crcrlf-dot-crcrlf": b"\r\r\n.\r\r\n",
    "crlf-dot-lf": b"\r\n.\n",
    "crlf-dot-cr": b"\r\n.\r",
}


def reference(wire: bytes) -> tuple[bytes | None, bytes]:
    """(message or None if it is refused, octets after its end); the end must come."""
    lines, position = [], 0
    while True:
        end = wire.index(b"\r\n", position)
        line, position = wire[position:end], end + 2
        if line == b".":
            break
        lines.append(line.removeprefix(b"."))
    message = b"".join(line + b"\r\n" for line in lines)
    bare = any(b"\r" in line or b"\n" in line for line in lines)
    hidden = any(line.startswith(b"\0") and line.replace(b"\0", b"") == b"." for line in lines)
    return (None if bare or hidden else message), wire[position:]


def received(wire: bytes, *cuts: int) -> tuple[bytes | None, bytes]:
    receiver = DataReceiver(1 << 20)
    bounds = [0, *sorted(cuts), len(wire)]
    chunks = [wire[a:b] for a, b in itertools.pairwise(bounds)]
    for i, chunk in enumerate(chunks):
        rest = receiver.feed(chunk)
        if rest is not None:
            rest += b"".join(chunks[i + 1 :])
            try:
                return receiver.message(), rest
            except BareNewline:
                return None, rest
    raise AssertionError("no end of data")


def exhaust(length: int) -> None:
    for letters in itertools.product(ALPHABET, repeat=length):
        wire = b"".join(letters) + b"\r\n.\r\nQUIT\r\n"
        assert received(wire) == reference(wire), wire


@pytest.mark.parametrize("length", range(6))
def test_a1_smug_exhaustive_every_short_string_ends_where_the_reference_says(length: int) -> None:
    exhaust(length)


@pytest.mark.slow
@pytest.mark.parametrize("length", [6, pytest.param(7, marks=pytest.mark.long)])
def test_a1_smug_exhaustive_every_longer_string_ends_where_the_reference_says(length: int) -> None:
    exhaust(length)


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_a1_receiver_at_a_false_end_of_data_reads_on_and_refuses(ending: bytes) -> None:
    wire = b"Subject: x\r\n\r\nfirst" + ending + b"MAIL FROM:<evil@example.org>\r\n.\r\n"

    assert received(wire) == (None, b"")


@pytest.mark.parametrize("ending", [e for e in ENDINGS.values() if b"\0" not in e])
def test_a1_receiver_when_normalizing_gives_one_message_without_stray_newlines(ending: bytes) -> None:
    receiver = DataReceiver(1 << 20)
    receiver.feed(b"first" + ending + b"second\r\n.\r\n")

    message = receiver.message(normalize=True)

    assert not has_bare_newline(message)
    assert message.startswith(b"first")
    assert b"second" in message


@given(wire=WIRE, data=st.data())
def test_a1_receiver_split_anywhere_gives_what_one_chunk_gives(wire: bytes, data: st.DataObject) -> None:
    wire += b"\r\n.\r\nNEXT"
    cuts = data.draw(st.lists(st.integers(0, len(wire)), max_size=6))

    assert received(wire, *cuts) == reference(wire)


@given(raw=st.one_of(WIRE, st.binary(max_size=200)))
def test_a2_emitter_output_has_no_stray_newline_and_one_end_of_data(raw: bytes) -> None:
    wire = emit(raw)

    assert not has_bare_newline(wire)
    assert (b"\r\n" + wire).count(b"\r\n.\r\n") == 1
    assert (b"\r\n" + wire).endswith(b"\r\n.\r\n")
    assert not re.search(rb"\r\n\.[^.\r]", wire)


@given(
    raw=st.lists(st.sampled_from([b"", b".", b"..", b".x", b"x.", b"text"])).map(
        lambda ls: b"".join(x + b"\r\n" for x in ls)
    )
)
def test_a2_emitter_and_receiver_are_inverse(raw: bytes) -> None:
    assert received(emit(raw)) == (raw, b"")


@given(raw=WIRE)
def test_a3_emitter_says_what_two_other_clients_say(raw: bytes) -> None:
    """Smtplib mends line ends of text only; given octets it would send them as they are."""
    ours = emit(raw)

    theirs = PERIOD_REGEX.sub(b"..", normalize_message_line_endings(raw)) + b".\r\n"
    quoted: bytes = vars(smtplib)["_quote_periods"](vars(smtplib)["_fix_eols"](raw.decode("latin-1")).encode("latin-1"))
    stock = quoted + (b".\r\n" if quoted.endswith(b"\r\n") else b"\r\n.\r\n")
    # Of an empty message both make an empty line.
    assert ours == (stock if raw else b".\r\n")
    assert ours == (theirs if raw else b".\r\n")


def test_receiver_of_an_empty_message_gives_nothing() -> None:
    assert received(b".\r\nQUIT\r\n") == (b"", b"QUIT\r\n")


@pytest.mark.parametrize("chunk", [1, 3, 1000])
@pytest.mark.parametrize("body", [b"x" * 98 + b"\r\n", b"..\r\n" * 33 + b"\r\n", b"." + b"x" * 99 + b"\r\n"])
def test_receiver_at_the_limit_counts_the_message_without_transparency_dots(body: bytes, chunk: int) -> None:
    wire = body + b".\r\n"
    size = len(reference(wire)[0] or b"")

    def fits(limit: int) -> bool:
        receiver = DataReceiver(limit)
        for i in range(0, len(wire), chunk):
            receiver.feed(wire[i : i + chunk])
        return not receiver.is_too_large

    assert fits(size)
    assert not fits(size - 1)


def test_receiver_over_the_limit_still_finds_the_end() -> None:
    receiver = DataReceiver(100)
    receiver.feed(b"x" * 1000)
    receiver.feed(b"y" * 1000 + b"\r\n")

    assert receiver.feed(b".\r\nRSET\r\n") == b"RSET\r\n"
    with pytest.raises(MessageTooLarge):
        receiver.message()


def test_receiver_far_over_the_limit_says_so_and_keeps_nothing() -> None:
    receiver = DataReceiver(100)
    for _ in range(OVERRUN_BYTES // 65_536 + 1):
        assert receiver.feed(b"x" * 65_536) is None

    assert receiver.is_overrun
    assert len(receiver._buffer) < 10


def test_receiver_with_dropped_octets_still_finds_the_end() -> None:
    receiver = DataReceiver(1000)
    receiver.feed(b"x" * 10 + b"\r")
    receiver.drop()

    assert receiver.feed(b"\n.\r\nQUIT") == b"QUIT"


def test_nul_inside_a_message_is_kept() -> None:
    assert received(b"a\0b\r\n.\0\r\n.\r\n") == (b"a\0b\r\n\0\r\n", b"")

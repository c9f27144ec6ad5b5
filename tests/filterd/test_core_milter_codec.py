"""Frames of the milter protocol and the values in them, whatever the octets and however they are split."""

from __future__ import annotations

import contextlib
import struct
import unicodedata
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.milter_codec import (
    MAX_FRAME_BYTES,
    Can,
    Frames,
    Negotiation,
    Step,
    delete_recipient,
    frame,
    insert_header,
    negotiation,
    quarantine,
    read_connect,
    read_header,
    read_macros,
    read_negotiation,
    read_path,
    reply_code,
)
from filterd.core.verdict import Reply
from filterd.errors import MilterBroken
from tests.filterd import milter_dialogue as mta

READERS = [read_negotiation, read_macros, read_connect, read_path, read_header]
WORD = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b""))
PRINTABLE = st.text(
    st.characters(codec="ascii", min_codepoint=33, max_codepoint=126, exclude_characters="{}"), max_size=20
)


@given(st.lists(st.tuples(st.sampled_from([b"L", b"B", b"E"]), st.binary(max_size=50)), max_size=8), st.data())
def test_frames_when_split_anywhere_come_out_whole(sent: list[mta.Frame], data: st.DataObject) -> None:
    """What is fed in any pieces is found frame by frame, in order."""
    wire = b"".join(mta.frame(*each) for each in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    frames = Frames()

    found = [each for a, b in pairwise([0, *cuts, len(wire)]) for each in frames.feed(wire[a:b])]

    assert found == sent


@pytest.mark.parametrize("length", [0, MAX_FRAME_BYTES + 1, 0xFFFFFFFF], ids=["none", "large", "huge"])
def test_frame_when_its_length_cannot_be_is_refused_at_once(length: int) -> None:
    """No memory is kept for what nobody would send."""
    with pytest.raises(MilterBroken):
        list(Frames().feed(struct.pack("!I", length)))


@given(st.binary(max_size=300))
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_reader_when_given_anything_raises_only_our_error(read: Callable[[bytes], object], data: bytes) -> None:
    """Whatever a frame holds, it is a value or MilterBroken."""
    with contextlib.suppress(MilterBroken):
        read(data)


@given(PRINTABLE, PRINTABLE, st.integers(0, 65_535))
@pytest.mark.parametrize("family", [b"4", b"6"], ids=["4", "6"])
def test_client_when_shown_is_read_back(family: bytes, name: str, address: str, port: int) -> None:
    """Name, port and address come out as they went in."""
    data = mta.strings(name.encode()) + family + struct.pack("!H", port) + mta.strings(address.encode())

    found = read_connect(data)

    assert (found.name, found.port) == (name, port)
    assert found.address == (address[5:] if address[:5].lower() == "ipv6:" else address)


@pytest.mark.parametrize("data", [b"", b"name", b"name\0", b"name\x004\0", b"name\x006\0\x19::1"], ids=repr)
def test_client_when_it_is_cut_short_is_refused(data: bytes) -> None:
    """A client is shown whole or not at all."""
    with pytest.raises(MilterBroken):
        read_connect(data)


def test_client_when_it_has_no_address_is_known_by_its_name() -> None:
    """A local client has neither port nor address."""
    assert read_connect(b"localhost\0U").name == "localhost"
    assert read_connect(b"localhost\0L\0\0/run/socket\0").address == ""


@given(pairs=st.lists(st.tuples(PRINTABLE, PRINTABLE), max_size=5), is_braced=st.booleans())
def test_macros_when_shown_are_read_back(pairs: list[tuple[str, str]], *, is_braced: bool) -> None:
    """Names lose their braces, values nothing."""
    words = [word.encode() for name, value in pairs for word in (f"{{{name}}}" if is_braced else name, value)]

    assert read_macros(b"M" + mta.strings(*words)).values == tuple(pairs)


@given(WORD, st.lists(PRINTABLE, max_size=3))
def test_path_when_shown_is_read_back(argument: bytes, parameters: list[str]) -> None:
    """The argument stays octets, so that it can be named to the mail server again."""
    found = read_path(mta.strings(argument, *(each.encode() for each in parameters)))

    assert found.argument == argument
    assert found.parameters == tuple(parameters)
    assert not any(unicodedata.category(character) == "Cc" for character in found.address)


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        (b"<a@b.example>", "a@b.example"),
        (b"a@b.example", "a@b.example"),
        (b"<>", ""),
        ("<grüße@b.example>".encode(), "grüße@b.example"),
        (b"<\xff@b.example>", "\ufffd@b.example"),
        (b"<a\r\n@b.example>", "a??@b.example"),
    ],
    ids=["brackets", "bare", "null", "utf-8", "no-utf-8", "control"],
)
def test_address_when_shown_can_be_stored_and_sent(argument: bytes, address: str) -> None:
    """Brackets go, and so does what could not be stored or would end a command."""
    assert read_path(mta.strings(argument)).address == address


@given(WORD.filter(bool), WORD)
def test_header_when_shown_is_read_back(name: bytes, value: bytes) -> None:
    """Name and value stay octets."""
    found = read_header(mta.strings(name, value))

    assert (found.name, found.value) == (name, value)


@given(st.integers(2, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF))
def test_offer_when_taken_as_it_is_says_the_same(version: int, actions: int, steps: int) -> None:
    """An answer has the form of an offer; macros are chosen only where that was offered."""
    offered = read_negotiation(struct.pack("!III", version, actions, steps))
    taken = Negotiation(version=offered.version, actions=Can(actions), steps=Step(steps))

    ((command, data),) = mta.frames_in(negotiation(taken, {b"M": "i {auth_authen}"}))

    assert (command, struct.unpack_from("!III", data)) == (b"O", (version, actions, steps))
    assert data[12:] == (b"\0\0\0\2i {auth_authen}\0" if actions & 0x100 else b"")


@given(WORD, WORD)
def test_answer_when_it_holds_strings_is_one_frame(name: bytes, value: bytes) -> None:
    """A string can end nothing but itself."""
    found = mta.frames_in(insert_header(3, name, value) + delete_recipient(b"<a\0b>") + quarantine("why\0"))

    assert found == [(b"i", b"\0\0\0\3" + mta.strings(name, value)), (b"-", b"<ab>\0"), (b"q", b"why\0")]


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        (Reply(code=550, enhanced="5.7.1", lines=("100% no",)), b"550 5.7.1 100%% no\0"),
        (Reply(code=451, lines=("later", "", "please")), b"451 later please\0"),
        (Reply(code=451, enhanced="4.0.0", lines=("a\r\nb\0\xfc",)), b"451 4.0.0 a??b??\0"),
        (Reply(code=450, lines=("",)), b"450\0"),
    ],
    ids=["percent", "lines", "octets", "bare"],
)
def test_reply_when_said_is_one_clean_line(reply: Reply, line: bytes) -> None:
    """Whatever a next hop said, the mail server gets a line it can give its client."""
    assert reply_code(reply) == frame(b"y", line)

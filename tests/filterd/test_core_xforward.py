"""XFORWARD and XCLIENT attributes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.envelope import Peer
from filterd.core.xforward import (
    MAX_COMMAND_CHARS,
    XCLIENT_NAMES,
    XFORWARD_NAMES,
    apply_attributes,
    forward_commands,
    parse_attributes,
    xtext_decode,
    xtext_encode,
)

ALL = frozenset(XFORWARD_NAMES)


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_xtext_round_trip(text: str) -> None:
    encoded = xtext_encode(text)

    assert all("!" <= c <= "~" for c in encoded)
    assert xtext_decode(encoded) == text.replace("\ufffd", "?")


def test_parse_attributes_reads_postfix_lines() -> None:
    found = parse_attributes("NAME=mx.example ADDR=192.0.2.7 HELO=he+2Bllo IDENT=[UNAVAILABLE]", XFORWARD_NAMES)

    assert found == {"NAME": "mx.example", "ADDR": "192.0.2.7", "HELO": "he+llo", "IDENT": ""}


@pytest.mark.parametrize(
    "argument",
    ["", "NAME", "NAME=", "FOO=1", "LOGIN=x", "NAME=a b", "HELO=a+0D+0AMAIL", "HELO=+00", "NAME=" + "x" * 300],
)
def test_parse_attributes_of_the_malformed_is_none(argument: str) -> None:
    assert parse_attributes(argument, XFORWARD_NAMES) is None


@pytest.mark.parametrize(
    ("argument", "peer"),
    [
        ("ADDR=192.0.2.7 PORT=25", Peer(address="192.0.2.7", port=25)),
        ("ADDR=IPV6:2001:DB8::1", Peer(address="2001:db8::1")),
        ("ADDR=[UNAVAILABLE] NAME=[TEMPUNAVAIL]", Peer()),
        ("HELO=me.example PROTO=esmtp LOGIN=bob", Peer(helo="me.example", protocol="ESMTP", login="bob")),
        ("DESTADDR=192.0.2.1 DESTPORT=25", Peer()),
    ],
)
def test_apply_attributes(argument: str, peer: Peer) -> None:
    assert apply_attributes(Peer(), parse_attributes(argument, XCLIENT_NAMES) or {}) == peer


@pytest.mark.parametrize("argument", ["ADDR=nowhere", "PORT=70000", "PORT=x", "NAME=a+20b", "PROTO=E-S"])
def test_apply_attributes_with_an_impossible_value_is_none(argument: str) -> None:
    assert apply_attributes(Peer(), parse_attributes(argument, XCLIENT_NAMES) or {}) is None


def test_forward_commands_sends_only_what_is_offered() -> None:
    peer = Peer(address="2001:db8::1", port=1234, helo="me", protocol="ESMTPS")

    assert forward_commands(peer, "id1", {"NAME", "ADDR", "PROTO"}) == [
        "XFORWARD NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 PROTO=ESMTP"
    ]
    assert not forward_commands(peer, "id1", ())
    assert not forward_commands(Peer(), "id1", ALL)


@given(name=st.text(max_size=300), helo=st.text(max_size=300))
def test_forward_commands_are_short_printable_lines(name: str, helo: str) -> None:
    commands = forward_commands(Peer(address="192.0.2.1", name=name, helo=helo), "x" * 32, ALL)

    for command in commands:
        assert len(command) <= MAX_COMMAND_CHARS - 2
        assert all(" " <= c <= "~" for c in command)

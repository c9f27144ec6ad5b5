"""PROXY protocol headers, both versions."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.edges.proxy_protocol import SIGNATURE, ProxiedClient, parse_v1, parse_v2, v2_length

FOUR = bytes((192, 0, 2, 9, 192, 0, 2, 1)) + struct.pack("!HH", 4321, 25)
SIX = bytes.fromhex("20010db8000000000000000000000009" * 2) + struct.pack("!HH", 4321, 25)


@pytest.mark.parametrize(
    ("line", "client"),
    [
        (b"PROXY TCP4 192.0.2.9 192.0.2.1 4321 25\r\n", ProxiedClient(address="192.0.2.9", port=4321)),
        (b"PROXY TCP6 2001:db8::9 2001:db8::1 1 2\r\n", ProxiedClient(address="2001:db8::9", port=1)),
        (b"PROXY UNKNOWN\r\n", ProxiedClient()),
        (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ProxiedClient()),
        (b"PROXY TCP4 192.0.2.9 192.0.2.1 4321 25\n", None),
        (b"PROXY TCP4 192.0.2.9 192.0.2.1 4321\r\n", None),
        (b"PROXY TCP4 2001:db8::9 2001:db8::1 1 2\r\n", None),
        (b"PROXY TCP6 192.0.2.9 2001:db8::1 1 2\r\n", None),
        (b"PROXY TCP4 192.0.2.9 192.0.2.1 70000 25\r\n", None),
        (b"PROXY TCP4 192.0.2.9 192.0.2.1 -1 25\r\n", None),
        (b"PROXY TCP4  192.0.2.9 192.0.2.1 1 25\r\n", None),
        (b"PROXY UDP4 192.0.2.9 192.0.2.1 1 25\r\n", None),
        (b"proxy TCP4 192.0.2.9 192.0.2.1 1 25\r\n", None),
        (b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n", None),
        (b"PROXY TCP4 \xff 192.0.2.1 1 25\r\n", None),
    ],
)
def test_parse_v1(line: bytes, client: ProxiedClient | None) -> None:
    assert parse_v1(line) == client


@pytest.mark.parametrize(
    ("command", "family", "rest", "client"),
    [
        (0x21, 0x11, FOUR, ProxiedClient(address="192.0.2.9", port=4321)),
        (0x21, 0x11, FOUR + b"\x04\x00\x01x", ProxiedClient(address="192.0.2.9", port=4321)),
        (0x21, 0x21, SIX, ProxiedClient(address="2001:db8::9", port=4321)),
        (0x20, 0x11, FOUR, ProxiedClient(is_balancer=True)),
        (0x20, 0x00, b"", ProxiedClient(is_balancer=True)),
        (0x21, 0x00, b"", ProxiedClient()),
        (0x21, 0x31, b"x" * 216, ProxiedClient()),
        (0x21, 0x11, FOUR[:-1], None),
        (0x21, 0x21, FOUR, None),
        (0x22, 0x11, FOUR, None),
    ],
)
def test_parse_v2(command: int, family: int, rest: bytes, client: ProxiedClient | None) -> None:
    head = SIGNATURE + bytes((command, family)) + struct.pack("!H", len(rest))

    assert v2_length(head) == len(rest)
    assert parse_v2(head, rest) == client


@pytest.mark.parametrize(
    "head",
    [SIGNATURE + b"\x11\x11\0\0", SIGNATURE + b"\x21\x11\xff\xff", b"x" * 16, SIGNATURE, SIGNATURE + b"\x21\x11\0\0\0"],
)
def test_v2_length_of_what_is_no_header_is_none(head: bytes) -> None:
    assert v2_length(head) is None


@given(
    line=st.binary(max_size=120),
    rest=st.binary(max_size=60),
    command=st.integers(0x20, 0x2F),
    family=st.integers(0, 255),
)
def test_parsers_never_raise(line: bytes, rest: bytes, command: int, family: int) -> None:
    parse_v1(line)
    parse_v1(b"PROXY TCP4 " + line + b"\r\n")
    parse_v2(SIGNATURE + bytes((command, family, 0, 0)), rest)

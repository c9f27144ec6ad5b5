"""The PROXY protocol header a load balancer puts in front of a connection: versions 1 and 2.

Source: https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
MIN_BYTES = 12
"""Enough to tell the versions apart; the shortest header is longer."""
MAX_V1_BYTES = 107
MAX_V2_BYTES = 2048
_FAMILIES = {0x11: 4, 0x21: 16}
"""Address family and transport -> octets of an address: TCP over IPv4 and IPv6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxiedClient:
    """Who the balancer speaks for; the address is empty where it does not know."""

    address: str = ""
    port: int = 0
    is_balancer: bool = False
    """Whether the balancer speaks for itself, as in a health check."""


def parse_v1(line: bytes) -> ProxiedClient | None:
    """The client of a version 1 line, with its CRLF; None when it is malformed."""
    if len(line) > MAX_V1_BYTES or not line.endswith(b"\r\n") or not line.isascii():
        return None
    words = line[:-2].decode("ascii").split(" ")
    if words[:2] == ["PROXY", "UNKNOWN"]:
        return ProxiedClient()
    if len(words) != 6 or words[0] != "PROXY" or words[1] not in ("TCP4", "TCP6"):
        return None
    ports = words[4:]
    if not all(port.isdigit() and len(port) <= 5 and int(port) <= 65_535 for port in ports):
        return None
    try:
        versions = {ipaddress.ip_address(word).version for word in words[2:4]}
    except ValueError:
        versions = set()
    source = words[2] if versions == {int(words[1][3])} else None
    return ProxiedClient(address=str(ipaddress.ip_address(source)), port=int(ports[0])) if source else None


def v2_length(head: bytes) -> int | None:
    """How many bytes follow the 16 of ``head``; None when they begin no version 2 header."""
    if len(head) != 16 or not head.startswith(SIGNATURE) or head[12] >> 4 != 2:
        return None
    length = int(struct.unpack_from("!H", head, 14)[0])
    return length if length <= MAX_V2_BYTES else None


def parse_v2(head: bytes, rest: bytes) -> ProxiedClient | None:
    """The client of a version 2 header; None when it is malformed."""
    command, family = head[12] & 0xF, head[13]
    if command > 1:
        return None
    if command == 0 or family not in _FAMILIES:
        return ProxiedClient(is_balancer=command == 0)
    size = _FAMILIES[family]
    if len(rest) < 2 * size + 4:
        return None
    address = ipaddress.ip_address(rest[:size])
    return ProxiedClient(address=str(address), port=struct.unpack_from("!H", rest, 2 * size)[0])


async def read_header(
    read_exactly: Callable[[int], Awaitable[bytes]], read_line: Callable[[], Awaitable[bytes]]
) -> ProxiedClient | None:
    """The client a connection begins with; None when the header is missing or malformed."""
    head = await read_exactly(MIN_BYTES)
    if head != SIGNATURE:
        return parse_v1(head + await read_line() + b"\r\n") if head.startswith(b"PROXY ") else None
    head += await read_exactly(4)
    length = v2_length(head)
    return None if length is None else parse_v2(head, await read_exactly(length))

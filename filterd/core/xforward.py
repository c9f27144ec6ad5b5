"""Client attributes passed between mail servers: XFORWARD and XCLIENT, with xtext values.

Source: Postfix XFORWARD_README and XCLIENT_README; xtext is RFC 3461 section 4.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from filterd.core.envelope import Peer

XFORWARD_NAMES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
XCLIENT_NAMES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")
MAX_VALUE_CHARS = 255
MAX_COMMAND_CHARS = 512
UNAVAILABLE = "[UNAVAILABLE]"

_UNKNOWN = frozenset({UNAVAILABLE, "[TEMPUNAVAIL]"})
_XCHARS = re.compile(r"[^!-*,-<>-~]")
_ESCAPE = re.compile(rb"\+([0-9A-F]{2})")
_ATTRIBUTE = re.compile(r"([A-Z]+)=([!-~]+)", re.IGNORECASE)
_PRINTABLE = re.compile(r"[ -~]*")
_HOST = re.compile(r"[A-Za-z0-9_.:\[\]-]*")


def xtext_encode(text: str) -> str:
    """``text`` with everything but printable ASCII escaped."""
    return _XCHARS.sub(lambda m: "".join(f"+{octet:02X}" for octet in m[0].encode("utf-8", "replace")), text)


def xtext_decode(text: str) -> str:
    """The text ``text`` stands for; octets that are no UTF-8 come out as question marks."""
    octets = _ESCAPE.sub(lambda m: bytes((int(m[1], 16),)), text.encode("ascii", "replace"))
    return octets.decode("utf-8", "replace").replace("\ufffd", "?")


def parse_attributes(argument: str, names: Collection[str]) -> dict[str, str] | None:
    """Attribute -> value, empty where unavailable; None when ``argument`` is malformed."""
    found: dict[str, str] = {}
    for word in argument.split():
        match = _ATTRIBUTE.fullmatch(word)
        if match is None or match[1].upper() not in names:
            return None
        value = xtext_decode(match[2])
        if len(value) > MAX_VALUE_CHARS or not _PRINTABLE.fullmatch(value):
            return None
        found[match[1].upper()] = "" if value.upper() in _UNKNOWN else value
    return found or None


def apply_attributes(peer: Peer, attributes: Mapping[str, str]) -> Peer | None:
    """``peer`` as the attributes describe it; None when one has an impossible value."""
    changes: dict[str, Any] = {}
    for name, text in attributes.items():
        field, read = _FIELDS.get(name, ("", str))
        value = read(text)
        if value is None:
            return None
        if field:
            changes[field] = value
    return replace(peer, **changes)


def _address(text: str) -> str | None:
    """The IP address in text form, empty where unknown, None where malformed."""
    if not text:
        return ""
    bare = text[5:] if text.upper().startswith("IPV6:") else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return None


def _port(text: str) -> int | None:
    text = text or "0"
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535 else None


def _host(text: str) -> str | None:
    return text if _HOST.fullmatch(text) else None


def _protocol(text: str) -> str | None:
    return text.upper() if text.isalnum() or not text else None


_FIELDS: Mapping[str, tuple[str, Callable[[str], Any]]] = MappingProxyType(
    {
        "NAME": ("name", _host),
        "ADDR": ("address", _address),
        "PORT": ("port", _port),
        "PROTO": ("protocol", _protocol),
        "HELO": ("helo", _host),
        "LOGIN": ("login", str),
    }
)
"""Attribute -> field of Peer and what reads its value; the others are accepted and not kept."""


def forward_commands(peer: Peer, ident: str, offered: Collection[str]) -> list[str]:
    """The XFORWARD commands that tell the next hop who the client is; none where it does not ask."""
    if not peer.address:
        return []
    address = f"IPV6:{peer.address}" if ":" in peer.address else peer.address
    values = {
        "NAME": peer.name,
        "ADDR": address,
        "PORT": str(peer.port) if peer.port else "",
        "PROTO": "ESMTP" if peer.protocol.startswith("ESMTP") else peer.protocol,
        "HELO": peer.helo,
        "IDENT": ident,
        "SOURCE": "REMOTE",
    }
    commands: list[str] = []
    for name in XFORWARD_NAMES:
        if name not in offered:
            continue
        word = f"{name}={xtext_encode(values[name])[:MAX_VALUE_CHARS] or UNAVAILABLE}"
        if commands and len(commands[-1]) + 1 + len(word) <= MAX_COMMAND_CHARS - 2:
            commands[-1] += f" {word}"
        else:
            commands.append(f"XFORWARD {word}")
    return commands

"""The GSM 7-bit default alphabet, one character in each octet as SMS centres hand it over SMPP.

Source: 3GPP TS 23.038 sections 6.2.1 and 6.2.1.1. It does not unpack seven-bit octets and knows no national tables.
"""

from __future__ import annotations

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = dict(zip(b"\x0a\x14\x28\x29\x2f\x3c\x3d\x3e\x40\x65", "\f^{}\\[~]|€", strict=True))
_ESCAPE = 0x1B


def decode(octets: bytes) -> str:
    """The text; an octet above 127 is none of the alphabet and is read as Latin-1."""
    text, is_escaped = [], False
    for octet in octets:
        if octet == _ESCAPE and not is_escaped:
            is_escaped = True
            continue
        basic = _BASIC[octet] if octet < len(_BASIC) else chr(octet)
        # What the extension does not have is shown from the basic table (section 6.2.1.1); a lone escape is a space.
        text.append((_EXTENDED.get(octet, basic) if is_escaped else basic).replace("\x1b", " "))
        is_escaped = False
    return "".join(text)

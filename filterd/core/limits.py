"""How much of a message is read. Apart from the parser, so that who only names limits need not load it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseLimits:
    """How much of a message is read. The first four are hard: past them the message is unscannable."""

    max_parts: int = 1_000
    max_depth: int = 20
    max_header_bytes: int = 262_144
    max_decoded_bytes: int = 67_108_864
    max_html_bytes: int = 524_288
    """Per part; the rest is not read and a signal says so."""
    max_text_chars: int = 65_536
    """Per message: its beginning and its end."""

"""A message as spamd's clients hand it over: a file with bare line feeds as often as not.

Not ours to send on, but when the client asks for it with our lines in it, it gets its own octets back with them.
"""

from __future__ import annotations

import re

from filterd.core.advice import Advice
from filterd.core.headers import Stamp, header_bytes, splice

_MAX_SENDER_CHARS = 320
_SENDER = re.compile(
    rb"(?:>?From [^\r\n]*\r?\n)?(?:Return-Path|X-Envelope-From)[ \t]*:[ \t]*+<?([!-;=?-~]{0,320})>?[ \t]*\r?\n",
    re.IGNORECASE,
)
_MAX_LOOK_BYTES = 2_048


def sender_of(raw: bytes) -> str:
    """The envelope sender as the client's mail server left it on top; empty where there is none.

    Exim writes X-Envelope-From, delivery agents write Return-Path (RFC 5321 section 4.4). Only the first field counts:
    further down anybody may have written it.
    """
    found = _SENDER.match(raw[:_MAX_LOOK_BYTES])
    return found[1].decode("ascii") if found else ""


def rewrite(raw: bytes, advice: Advice, settings: Stamp, *, is_header_only: bool) -> bytes:
    """``raw`` with what was found in front and forged headers removed, in the line ends it came with.

    ``is_header_only`` leaves the body out; the empty line stays.
    """
    decision = advice.decision
    end = _header_end(raw)
    header, body = raw[:end], raw[end:]
    if b"\r\n" in header or b"\n" not in header:
        whole = splice(raw, advice.lines, decision.subject_tag, settings)
        return whole[: header_bytes(whole) + 2] if is_header_only else whole
    # With bare line feeds the header ends at the first empty line under every reading.
    changed = splice(header.replace(b"\n", b"\r\n"), advice.lines, decision.subject_tag, settings).replace(
        b"\r\n", b"\n"
    )
    return changed if is_header_only else changed + body


def _header_end(raw: bytes) -> int:
    """Behind the first empty line that ends with a line feed alone; all of the message where there is none."""
    if raw.startswith(b"\n"):
        return 1
    end = raw.find(b"\n\n")
    return end + 2 if end >= 0 else len(raw)

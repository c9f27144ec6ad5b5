"""Text from strangers as people are shown it: nothing in it acts on what displays it, or on the text around it."""

from __future__ import annotations

import re

_ENDS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_ACTING = re.compile("[\0-\x08\x0e-\x1f\x7f-\x9f\u061c\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\uffff\ud800-\udfff]")
"""Controls, what turns the direction of text (Unicode UAX #9, section 2), and what is no text."""


def shown_line(text: str, most: int) -> str:
    """The first ``most`` characters of ``text`` on one line; what cannot be seen stands as U+FFFD."""
    line = " ".join(text[: 4 * most].split())[:most]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def shown_text(text: str) -> str:
    """``text`` with LF as its only line end; controls, and what turns the direction of text, stand as U+FFFD."""
    return _ACTING.sub("\N{REPLACEMENT CHARACTER}", _ENDS.sub("\n", text))

"""What a message is mostly written in, from the side features that the model reads anyway."""

from __future__ import annotations

from collections.abc import Sequence

from filterd.core.verdict import Script

_LEAST = (("text_cjk", 0.1, Script.CJK), ("text_cyrillic", 0.2, Script.CYRILLIC), ("text_other", 0.2, Script.OTHER))
"""Feature, the share of a text's characters from which it counts, and what it is then: spaces, digits and links are
Latin in any language, and CJK needs few characters.
"""


def script_of(names: Sequence[str], values: Sequence[float]) -> Script:
    """The script of a message with these side features; Latin where they do not tell."""
    side = dict(zip(names, values, strict=True))
    return next((script for name, least, script in _LEAST if side.get(name, 0.0) >= least), Script.LATIN)

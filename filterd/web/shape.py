"""What the words of the evidence that are no words mean to people.

The model reads shapes in place of what varies without meaning (``core.normalize``): ``<url>``, ``<amt3>``,
``<d:example.com>``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from filterd.core.explanation import LABELS, REST

NAMES = frozenset(
    ("email", "url", "urlip", "urluser", "urlidn", "pct", "phone", "time", "date", "id", "amt", "n", "d", "t", "att")
)
_PARTS = {REST: "rest", LABELS: "labels"}
_SHAPE = re.compile(r"<([a-z]+)(?:([0-9])|:([^<>]+))?>")
_MOST_DIGITS = "9"
"""Stands for more, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Something that has a name of its own in every language: ``shape.NAME`` of the catalogue."""

    name: str
    of: str = ""
    """How many digits, which domain, which type; empty where there is nothing to add."""


def shape_of(token: str) -> Shape | None:
    """What ``token`` stands for; None for a word of the message."""
    if token in _PARTS:
        return Shape(name=_PARTS[token])
    found = _SHAPE.fullmatch(token)
    if found is None or found[1] not in NAMES:
        return None
    digits = f"{found[2]}+" if found[2] == _MOST_DIGITS else found[2]
    return Shape(name=found[1], of=digits or found[3] or "")

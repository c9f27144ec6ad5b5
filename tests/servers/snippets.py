"""Files of ``deploy`` as they ship, but for what a test must change."""

from __future__ import annotations

from collections.abc import Mapping


def changed(text: str, changes: Mapping[str, str]) -> str:
    """The text with ``changes`` made, each of which must be there to be made."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text

"""A message of very many lines is read in pieces, and nothing is hidden between them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from filterd.core import rfc822
from filterd.errors import Unscannable
from tests.hostile.structure import STRUCTURE

MOST_BYTES = 60_000


def _tree(raw: bytes) -> Any:
    """Every header and payload; the reason where there is none."""
    try:
        part, *_ = rfc822.parse_tree(raw, 262_144, 1_000, 20)
    except (Unscannable, TypeError) as exc:
        return str(exc)
    found, pending = [], [part]
    while pending:
        part = pending.pop()
        inner = rfc822.children(part)
        found.append((tuple(part.raw_items()), part.preamble, part.epilogue, part._payload if inner is None else None))  # type: ignore[attr-defined]  # not in the stub
        pending += inner or []
    return found


@pytest.mark.parametrize("shape", sorted(set(STRUCTURE) - {"b2-reports", "b3-full-size"}))
@pytest.mark.parametrize("lines", [3, 10, 40])
def test_b3_tree_when_lines_are_read_in_pieces_is_the_same_or_unscannable(
    shape: str, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of a delivery status are left out: they are no text, and a joined line may end them early."""
    for number in range(10):
        raw = STRUCTURE[shape](random.Random(f"{shape}/{number}"))[:MOST_BYTES]
        if b"delivery-status" in raw:
            continue
        monkeypatch.setattr(rfc822, "_MAX_LINES", 1 << 40)
        whole = _tree(raw)
        monkeypatch.setattr(rfc822, "_MAX_LINES", lines)
        pieces = _tree(raw)

        assert pieces == whole or isinstance(pieces, str)

"""A verdict as a page shows it: where the probability stands, which words moved it, and what decided."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from filterd.core.explanation import take_apart
from filterd.core.verdict import Evidence
from filterd.feedback_ports import Examples, Similar
from filterd.ports import VerdictRow

_END_LOGIT = 7.0
"""Log-odds at the ends of the bar: .1 % and 99.9 %. On a scale of percents every threshold would be at its end."""
_TICKS = (0.001, 0.5, 0.999)
_WORDS = re.compile(r"(\W+)")
_HEAVY = (0.25, 1.0)
"""Log-odds from which a word is shown in the second and third shade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One part of the sum."""

    text: str
    weight: float
    """Log-odds; positive speaks for spam."""
    shade: str
    """Class of the style sheet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """What a page says about one verdict."""

    row: VerdictRow
    words: tuple[Word, ...]
    """The words that moved the logit, then labels, then everything else; they add up to ``total``."""
    total: float | None
    """Log-odds; None where the message was not scored."""
    at: float | None
    """Where the probability stands on the bar, [0, 100]."""
    threshold_at: float | None
    similar: tuple[Similar, ...]

    @property
    def ticks(self) -> Sequence[tuple[float, float]]:
        """Probability and place of the marks of the bar."""
        return tuple((probability, _place(probability)) for probability in _TICKS)

    @property
    def listed(self) -> str:
        """The list entry that decided; empty where something else did."""
        return self.row.detail if self.row.reason in {"allowed", "denied"} else ""


def why(row: VerdictRow, similar: Sequence[Similar] = ()) -> Why:
    """What to say about ``row``."""
    words: tuple[Word, ...] = ()
    total = None
    if row.logit is not None:
        sums = take_apart(row.logit, row.correction, row.evidence)
        words, total = tuple(map(_word, sums.parts)), sums.total
    return Why(
        row=row,
        words=words,
        total=total,
        at=None if row.probability is None else _place(row.probability),
        threshold_at=None if row.threshold is None else _place(row.threshold),
        similar=tuple(similar),
    )


async def explained(row: VerdictRow, examples: Examples) -> Why:
    """What to say about ``row``, and the labelled messages it is like. Raises StoreUnavailable."""
    return why(row, await examples.similar(row.channel, row.fingerprint) if row.fingerprint else ())


def marked(text: str, words: Sequence[Word]) -> Sequence[tuple[str, str]]:
    """``text`` in pieces, each with the shade of the word it is, or without one; joined they are ``text`` again."""
    shades = {word.text.casefold(): word.shade for word in words if word.shade}
    pieces: list[tuple[str, str]] = []
    for piece in _WORDS.split(text):
        shade = shades.get(unicodedata.normalize("NFKC", piece).casefold(), "") if piece else ""
        if pieces and not shade and not pieces[-1][1]:
            pieces[-1] = (pieces[-1][0] + piece, "")
        else:
            pieces.append((piece, shade))
    return pieces


def _word(part: Evidence) -> Word:
    side = "spam" if part.weight > 0 else "ham"
    strength = 1 + sum(abs(part.weight) >= least for least in _HEAVY)
    return Word(text=part.token, weight=part.weight, shade=f"{side}-{strength}" if part.weight else "")


def _place(probability: float) -> float:
    """Where it stands on the bar, [0, 100]."""
    if probability <= 0 or probability >= 1:
        return 100.0 if probability >= 1 else 0.0
    logit = math.log(probability / (1 - probability))
    return round(50 + 50 * max(-1.0, min(1.0, logit / _END_LOGIT)), 2)

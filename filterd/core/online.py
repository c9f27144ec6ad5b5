"""A linear learner that one report moves: three views of a message, one table of weights each, their mean as the logit.

Alone it learns a site's mail from nothing; with an ``offset`` it learns only how another model's logit must change.
AdaGrad steps on examples that are wrong or too near to it, bounded by how often labels have lately contradicted it.
Sources: Duchi, Hazan, Singer 2011 (AdaGrad); Goodman, Yih 2006 and Cormack 2007 (online logistic regression on
4-grams, trained on or near error); Weinberger et al. 2009 (hashing).
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filterd.core.message import Message
from filterd.core.tokens import Extracted

Ids = npt.NDArray[np.int32]
Views = tuple[Ids, ...]

VIEWS = 3
"""4-grams of what a reader sees, the linear path's ids, words of the headers."""
BUCKETS = 2**18
"""Rows of each table: 2 MB a view with the steps. Four times as many rank no better (docs/evaluation.md)."""
_TEXT_BYTES = 4_000
_HIDDEN_CHARS = 1_000
_LINKS = 20
_HEADER_CHARS = 1_000
_HEADER_WORD = re.compile(r"[\w.\-]+|[^\w\s]+")
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(64 - 18)
_LARGEST = 30.0
"""Beyond this logit a probability is 0 or 1."""
_FEWEST = 1e-6
"""A share of contradictions that bounds nothing any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineConfig:
    """How it learns. One set of values for every corpus, channel and kind of feedback."""

    rate: float = 0.7
    """AdaGrad's."""
    margin: float = 0.1
    """An example is learned unless its label had at least probability 1 - margin."""
    step: float = 0.1
    """A step moves a view's logit by at most ``step`` / contradictions."""
    largest_step: float = math.inf
    """And never by more than this, log-odds."""
    contradicted_below: float = 0.1
    """A label is a contradiction where it had less than this probability."""
    window: int = 200
    """Labels over which the share of contradictions is averaged."""
    first_contradictions: float = 0.02
    """That share before the first label."""


class OnlineWeights:
    """The tables of one site. float32[views, BUCKETS] twice; equal examples in, equal weights out."""

    def __init__(self, config: OnlineConfig | None = None, views: int = VIEWS) -> None:
        self.config = config or OnlineConfig()
        self.weights = np.zeros((views, BUCKETS), np.float32)
        self.gradients = np.full((views, BUCKETS), 1e-8, np.float32)
        """Sums of squared gradients."""
        self.contradictions = self.config.first_contradictions
        """How often a label had little probability lately, [0, 1]: noise, drift, or too little learned."""

    def score(self, views: Views, offset: float = 0.0) -> float:
        """``offset`` and the mean of the views' logits; a view without ids has no say."""
        return offset + _mean(self._logits(views))

    def learn(
        self, views: Views, *, is_spam: bool, offset: float = 0.0, weights: Sequence[float] | None = None
    ) -> bool:
        """Whether the weights moved. ``offset`` is the logit that the learner is to correct.

        ``weights``, in [0, 1] for each view, are the trust in the label: steps and their bounds are that much smaller.
        """
        config = self.config
        sign = 1.0 if is_spam else -1.0
        logits = self._logits(views)
        is_contradiction = _probability(sign * (offset + _mean(logits))) < config.contradicted_below
        self.contradictions += (is_contradiction - self.contradictions) / config.window
        most = min(config.largest_step, config.step / max(self.contradictions, _FEWEST))
        moved = False
        for view, logit in logits.items():
            truth = _probability(sign * (logit + offset))
            if truth <= 1 - config.margin:
                weight = 1.0 if weights is None else weights[view]
                self._step(view, views[view], weight * sign * (1 - truth), weight * most)
                moved = True
        return moved

    def _logits(self, views: Views) -> dict[int, float]:
        """Logit of each view that has ids."""
        return {
            view: float(self.weights[view][ids].sum()) / math.sqrt(len(ids))
            for view, ids in enumerate(views)
            if len(ids)
        }

    def _step(self, view: int, ids: Ids, error: float, most: float) -> None:
        scale = 1 / math.sqrt(len(ids))
        gradient = error * scale
        squares = self.gradients[view][ids] + np.float32(gradient * gradient)
        steps = np.float32(self.config.rate * gradient) / np.sqrt(squares)
        moves = abs(float(steps.sum())) * scale
        if moves > most:
            steps *= np.float32(most / moves)
        self.gradients[view][ids] = squares
        self.weights[view][ids] += steps


def views_of(raw: bytes, extracted: Extracted) -> Views:
    """What the learner reads of a message: VIEWS arrays of distinct ids in [0, BUCKETS), ascending.

    Only what the extractor reads: nothing that a collector, a list or another filter wrote. ``raw`` is read for SMS.
    """
    wide = extracted.tokens.wide
    message = extracted.message
    text = raw if message is None else _shown(message).encode("utf-8", "replace")
    return (grams(text[:_TEXT_BYTES]), np.unique(wide[wide > 0] % BUCKETS), _header_words(message))


def grams(text: bytes) -> Ids:
    """Ids of the distinct 4-grams of octets; a shorter text is one gram."""
    if not text:
        return np.zeros(0, np.int32)
    octets = np.frombuffer(text.ljust(4, b" "), np.uint8).astype(np.uint64)
    packed = octets[3:].copy()
    for place in range(3):
        packed |= octets[place : len(octets) - 3 + place] << np.uint64(8 * (3 - place))
    return np.unique((packed * _MULTIPLIER >> _SHIFT).astype(np.int32))


def _shown(message: Message) -> str:
    """Subject, author, what a reader sees, a little of what is hidden, and where links lead."""
    links = [f"{link.text} {link.href}" for link in message.links[:_LINKS]]
    parts = (message.subject, message.author_name, message.author, message.text[:_TEXT_BYTES])
    return "\n".join((*parts, message.hidden[:_HIDDEN_CHARS], *links))


def _header_words(message: Message | None) -> Ids:
    if message is None:
        return np.zeros(0, np.int32)
    found = {
        zlib.crc32(f"{name}:{word}".encode("utf-8", "replace"))
        for name, values in message.headers.items()
        for value in values
        for word in _HEADER_WORD.findall(value[:_HEADER_CHARS])
    }
    hashed = np.array(sorted(found), np.uint64) * _MULTIPLIER >> _SHIFT
    return np.unique(hashed.astype(np.int32))


def _mean(logits: dict[int, float]) -> float:
    return sum(logits.values()) / len(logits) if logits else 0.0


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-_LARGEST, min(_LARGEST, logit))))

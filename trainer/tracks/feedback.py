"""How people report: at once, for a while, one recipient only, when asked, wrongly, or only on what they see.

Sources: the TREC 2005-2007 Spam Tracks (immediate, delayed, partial, active); Sculley and Cormack, CEAS 2008, and
Kolcz and Cormack, KDD 2009 (noise, uniform and by content).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from filterd.core.envelope import Channel
from trainer.example import Example, Label

_TO = re.compile(rb"^(?:Delivered-To|To):[^\r\n]*?([\w.+-]+@[\w.-]+)", re.IGNORECASE | re.MULTILINE)
_NEWSLETTER = re.compile(rb"unsubscri|newsletter", re.IGNORECASE)
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_HEAD_BYTES = 8_192
_READ_BYTES = 32_768
_ASKED_AT_FIRST = 10
_RECENT = 1_000
_DOUBTFUL_SHARE = 0.05


class Reporter(Protocol):
    """One stream's people. Asked once for every message, in order."""

    def __call__(self, example: Example, distance: float) -> Label | None:
        """The label reported after the message was judged, None for no report.

        ``distance`` is its score minus the system's cut: below 0 it lay in the inbox.
        """
        ...


Mode = Callable[[Sequence[Example], int], Reporter]
"""Stream and seed -> its people."""


def flipped(label: Label) -> Label:
    """The other label."""
    return Label.HAM if label is Label.SPAM else Label.SPAM


def is_newsletter(example: Example) -> bool:
    """Ham whose text speaks of subscribing: what people mark as spam because leaving is more work.

    The headers do not count: there every post to a discussion list tells how to leave it.
    """
    raw = example.raw[:_READ_BYTES]
    end = _HEAD_END.search(raw) if example.channel is Channel.EMAIL else None
    return example.label is Label.HAM and _NEWSLETTER.search(raw, end.end() if end else 0) is not None


def recipient_of(example: Example) -> str:
    """The mailbox: its corpus's group where that is one, else the first address a message is for."""
    if example.corpus == "enron-spam":
        return example.group
    found = _TO.search(example.raw[:_HEAD_BYTES])
    return found.group(1).decode("ascii", "replace").lower() if found else ""


def immediate(_: Sequence[Example], __: int) -> Reporter:
    """Every message, at once, truly."""
    return lambda example, _: example.label


def delayed(share: float) -> Mode:
    """The first messages, that share of the stream; of the others nothing."""

    def mode(stream: Sequence[Example], _: int) -> Reporter:
        left = iter(range(round(share * len(stream))))
        return lambda example, _: None if next(left, None) is None else example.label

    return mode


def partial(stream: Sequence[Example], _: int) -> Reporter:
    """The recipient of whom there is most mail of both labels reports everything, the others nothing."""
    counts = Counter((recipient_of(example), example.label) for example in stream)
    both = {who: min(counts[who, label] for label in Label) for who, _ in counts if who}
    chosen = max(both, key=lambda who: (both[who], who), default="")
    return lambda example, _: example.label if recipient_of(example) == chosen else None


def active(quota: float) -> Mode:
    """At most that share of the stream, asked for where the system doubts most."""

    def mode(_: Sequence[Example], __: int) -> Reporter:
        distances: list[float] = []
        asked = 0

        def report(example: Example, distance: float) -> Label | None:
            nonlocal asked
            distances.append(abs(distance))
            recent = distances[-_RECENT:]
            if asked >= _ASKED_AT_FIRST + quota * len(distances):
                return None
            if asked >= _ASKED_AT_FIRST and abs(distance) > np.quantile(recent, _DOUBTFUL_SHARE):
                return None
            asked += 1
            return example.label

        return report

    return mode


def noisy(share: float) -> Mode:
    """Every message, that share of them with the wrong label."""

    def mode(_: Sequence[Example], seed: int) -> Reporter:
        rng = np.random.default_rng(seed)
        return lambda example, _: flipped(example.label) if rng.random() < share else example.label

    return mode


def newsletters(share: float) -> Mode:
    """Every message, that share of the newsletters as spam."""

    def mode(_: Sequence[Example], seed: int) -> Reporter:
        rng = np.random.default_rng(seed)
        return lambda example, _: Label.SPAM if is_newsletter(example) and rng.random() < share else example.label

    return mode


def one_sided(share: float) -> Mode:
    """That share of what lay in the inbox, truly; nothing of what was held."""

    def mode(_: Sequence[Example], seed: int) -> Reporter:
        rng = np.random.default_rng(seed)
        return lambda example, distance: example.label if distance < 0 and rng.random() < share else None

    return mode

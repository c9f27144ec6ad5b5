"""Weights that one report moves: a site's correction of the linear path, between one model and the next.

A label moves the logit of messages that share words with its message, for everybody a little and for the domain of its
recipients as much again. The correction belongs to one bundle and is gone with it: the next one has learned from the
same labels. It is made from the labels that stand, in their order, so every worker and host has the same one, and a
revoked label leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from filterd.core.calibration import probability
from filterd.core.envelope import Channel, domain_of
from filterd.core.online import BUCKETS, Ids, OnlineConfig, OnlineWeights, Views
from filterd.core.token_codec import wide_ids
from filterd.core.verdict import Label, Scan
from filterd.feedback_ports import LabelledInput

CONFIG = OnlineConfig(largest_step=2.0)
"""One label moves the logit of its own message by at most 2: .5 becomes .88, and .1 becomes .45."""
MOST = 4.0
"""All labels together move no message by more than this, log-odds."""
_VIEWS = 2
_FOR_OTHERS = 0.25
"""Of a step that is taken for everybody, unless an administrator says so: one liar must not move others' mail far."""
_RARE, _RARE_SHARE = 1, 0.05
"""A word in more than one unlabelled message, and in more than a twentieth of them, is common."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(64 - 18)


@dataclass(slots=True)
class _Site:
    """What was learned for the bundle of one channel."""

    model: str
    weights: OnlineWeights = field(default_factory=lambda: OnlineWeights(CONFIG, _VIEWS))
    learned: list[int] = field(default_factory=list)


class SiteWeights:
    """Implements ``ports.Correction``. For one thread."""

    def __init__(self) -> None:
        self._sites: dict[Channel, _Site] = {}

    def learned(self, channel: Channel, model: str) -> Sequence[int]:
        """Numbers of the labels this bundle's correction was made of, ascending."""
        site = self._sites.get(channel)
        return site.learned if site is not None and site.model == model else ()

    def forget(self, channel: Channel) -> None:
        """Correct nothing on this channel."""
        self._sites.pop(channel, None)

    def adopt(self, other: SiteWeights, channel: Channel) -> None:
        """Correct this channel as ``other`` does, which must not change any more."""
        if channel in other._sites:
            self._sites[channel] = other._sites[channel]
        else:
            self.forget(channel)

    def learn(
        self,
        channel: Channel,
        model: str,
        examples: Iterable[LabelledInput],
        weights: Mapping[int, float],
        background: Sequence[bytes],
    ) -> None:
        """Learn labels on messages that ``model`` had judged, in the order of their numbers.

        0.1 ms each, and 3 ms for a background of 300 mails.

        ``weights`` is what a label is worth to others, [0, 1]; one that is worth nothing moves nothing.
        ``background`` are inputs of messages that nobody labelled: what is common to them is not learned.
        """
        site = self._sites.get(channel)
        if site is None or site.model != model:
            site = self._sites[channel] = _Site(model)
        common = _common(background)
        for example in examples:
            weight = weights.get(example.id, 1.0)
            if example.logit is not None and weight > 0:
                views = _views(example.tokens, _domain(example.recipients), common)
                is_spam = example.label is Label.SPAM
                trust = (weight if example.is_for_all else weight * _FOR_OTHERS, weight)
                site.weights.learn(views, is_spam=is_spam, offset=example.logit, weights=trust)
            site.learned.append(example.id)

    def correct(self, channel: Channel, scan: Scan, recipient: str) -> Scan:
        """``scan`` as the labels of its bundle would have it for mail to ``recipient``."""
        site = self._sites.get(channel)
        if site is None or site.model != scan.model or not scan.tokens:
            return scan
        moved = site.weights.score(_views(scan.tokens, domain_of(recipient)))
        moved = max(-MOST, min(MOST, moved))
        if moved == 0.0:
            return scan
        return replace(scan, correction=moved, probability=probability(scan.logit + moved, scan.calibration))


def _common(background: Sequence[bytes]) -> npt.NDArray[np.bool_]:
    """Which ids are in too many unlabelled messages to be learned: bool[BUCKETS].

    Labels are one-sided, people report spam: words that are in every message would come to speak for spam.
    """
    ids = [wide_ids(tokens) % BUCKETS for tokens in background]
    # The ids of a message are distinct; all are counted at once, because labels are learned on the event loop.
    counts = np.bincount(np.concatenate(ids) if ids else np.zeros(0, np.int32), minlength=BUCKETS)
    return counts > max(_RARE, _RARE_SHARE * len(background))


def _everybody(tokens: bytes) -> Ids:
    return np.unique(wide_ids(tokens) % BUCKETS).astype(np.int32)


def _views(tokens: bytes, domain: str, common: npt.NDArray[np.bool_] | None = None) -> Views:
    """The ids as they are, and once more as those of the domain: two distinct tables of BUCKETS."""
    everybody = _everybody(tokens)
    if common is not None:
        everybody = everybody[~common[everybody]]
    if not domain:
        return (everybody, everybody[:0])
    mixed = (everybody.astype(np.uint64) + _salt(domain)) * _MULTIPLIER >> _SHIFT
    return (everybody, np.unique(mixed.astype(np.int32)))


@lru_cache(maxsize=4_096)
def _salt(domain: str) -> np.uint64:
    return np.uint64(int.from_bytes(blake2b(domain.encode("utf-8", "replace"), digest_size=8).digest(), "big"))


def _domain(recipients: Sequence[str]) -> str:
    """The one domain of the recipients; empty where there are several, or none."""
    domains = {domain_of(recipient) for recipient in recipients}
    return domains.pop() if len(domains) == 1 else ""

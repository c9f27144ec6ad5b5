"""Mail that an attacker sends to be reported as spam, so that a filter learns to hold ham.

Source: Nelson et al., Exploiting Machine Learning to Subvert Your Spam Filter, LEET 2008. The attacker here knows the
words of the victim's own ham, past and future.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from filterd.core.envelope import Channel
from trainer.example import Example, Label

_WORD = re.compile(rb"[A-Za-z']{3,20}")
_READ_BYTES = 20_000
_WORDS_OF = {Channel.EMAIL: 3_000, Channel.SMS: 30}
_GUESSED = 0.5
"""Share of a target's words that the attacker guesses."""
_PER_TARGET = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One message of a stream."""

    example: Example
    is_attack: bool = False
    """Sent by the attacker: always reported as spam, and not counted in any figure."""
    is_target: bool = False
    """Ham that a focused attack wants held."""


def clean(stream: Sequence[Example], _: int) -> list[Item]:
    """The stream as it is."""
    return [Item(example=example) for example in stream]


def dictionary(share: float, stream: Sequence[Example], seed: int) -> list[Item]:
    """That share of the stream more, each with words drawn from the ham, spread evenly at random."""
    rng = np.random.default_rng(seed)
    vocabulary = np.array(sorted({word for each in stream if each.label is Label.HAM for word in _words(each)}))
    places = rng.integers(0, len(stream) + 1, round(share * len(stream)))
    before: dict[int, list[Item]] = {}
    for number, place in enumerate(places):
        words = rng.choice(vocabulary, min(len(vocabulary), _WORDS_OF[stream[0].channel]), replace=False)
        before.setdefault(int(place), []).append(_attack(stream[0], f"dictionary/{share}/{seed}/{number}", list(words)))
    return _merged(stream, before, frozenset())


def focused(targets: int, stream: Sequence[Example], seed: int) -> list[Item]:
    """So many ham of the later half are targets: just before each come mails with half of its words."""
    rng = np.random.default_rng(seed)
    later = [i for i, each in enumerate(stream) if i >= len(stream) // 2 and each.label is Label.HAM]
    chosen = rng.choice(later, min(targets, len(later)), replace=False)
    before: dict[int, list[Item]] = {}
    for target in map(int, chosen):
        words = sorted(_words(stream[target]))
        for number in range(_PER_TARGET):
            guessed = [word for word in words if rng.random() < _GUESSED]
            attack = _attack(stream[0], f"focused/{seed}/{target}/{number}", guessed)
            before.setdefault(max(0, target - int(rng.integers(0, 50))), []).append(attack)
    return _merged(stream, before, frozenset(map(int, chosen)))


def _words(example: Example) -> set[bytes]:
    raw = example.raw
    body = raw if example.channel is Channel.SMS else raw.partition(b"\n\n")[2] or raw.partition(b"\r\n\r\n")[2]
    return {word.lower() for word in _WORD.findall(body[:_READ_BYTES])}


def _attack(like: Example, id: str, words: list[bytes]) -> Item:
    text = b" ".join(words)
    head = b"From: a@example.org\nTo: b@example.net\nSubject: " + b" ".join(words[:5]) + b"\n\n"
    raw = text if like.channel is Channel.SMS else head + text + b"\n"
    example = Example(id=id, corpus=f"attack-{like.corpus}", channel=like.channel, label=Label.SPAM, raw=raw)
    return Item(example=example, is_attack=True)


def _merged(stream: Sequence[Example], before: dict[int, list[Item]], targets: frozenset[int]) -> list[Item]:
    items: list[Item] = []
    for position, example in enumerate(stream):
        items += before.get(position, [])
        items.append(Item(example=example, is_target=position in targets))
    return items + before.get(len(stream), [])

"""What an attacker borrows of ham who sees the model: words that its linear path likes most, and whole texts."""

from __future__ import annotations

import random
from collections import Counter

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.tokens import Extractor
from filterd.errors import Unscannable
from trainer.attacks import Borrowed
from trainer.attacks.mail import opened
from trainer.example import Example, Label
from trainer.prepare import Split
from trainer.tracks.held_part import HeldPart

_LENDERS = 1500
"""Training ham that words and texts are borrowed from."""
_TEXT_CHARS = 2_000
"""Most characters of one borrowed text."""
_LEAST_SEEN = 5
"""Borrowed messages that a good word must stand in: one that stands in few is a name or a slip."""
_GOOD_WORDS = 60
"""Good words handed out."""
_MOST_WORDS = 5_000
"""Words of ham handed out, as often as they occur."""


def borrowed_from(held: HeldPart, seed: int) -> Borrowed:
    """Ham of the training part, and its words that the model's linear path likes most, best first.

    Without a table to look into there are no good words.
    """
    rng = random.Random(seed)  # noqa: S311  (no secret)
    ham = [example for example in held.examples(Split.TRAIN) if example.label is Label.HAM]
    lenders = rng.sample(ham, min(_LENDERS, len(ham)))
    spec, table = held.model.spec, held.model.weights
    extractor = Extractor(spec.channel, spec.hashing, ParseLimits())
    seen: Counter[str] = Counter()
    ids: dict[str, int] = {}
    texts, everything = [], []
    for example in lenders:
        try:
            encoded = extractor(example.raw).encoded
        except Unscannable:
            continue
        pairs = [(w, int(i)) for w, i in zip(encoded.words, encoded.word_ids, strict=True) if w.isalpha()]
        seen.update({word for word, _ in pairs})
        ids.update(pairs)
        everything += [word for word, _ in pairs]
        texts.append(_text(example)[:_TEXT_CHARS])
    good = [word for word, count in seen.items() if count >= min(_LEAST_SEEN, len(lenders))]
    best = () if table is None else tuple(sorted(good, key=lambda word: (float(table[ids[word]]), word))[:_GOOD_WORDS])
    words = rng.sample(everything, min(len(everything), _MOST_WORDS))
    return Borrowed(good_words=best, ham_words=tuple(words), ham_texts=tuple(text for text in texts if text.strip()))


def _text(example: Example) -> str:
    if example.channel is Channel.SMS:
        return example.raw.decode("utf-8", "replace")
    return opened(example.raw).text

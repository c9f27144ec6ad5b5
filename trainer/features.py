"""Encodes examples through ``filterd.core``, the daemon's own extractor, into arrays kept ragged in memory."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import Hashing
from filterd.core.envelope import Channel
from filterd.core.features import Features
from filterd.core.message import ParseLimits
from filterd.core.tokens import Encoder, Extractor, Tokens
from filterd.errors import Unscannable
from trainer.example import Example, draw

_LENGTHS = (32, 64, 128, 256)
"""Lengths that batches are padded to, below the model's own longest."""

Inputs = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]
"""One message: tokens int32[T, G] without padding, wide int32[W] without padding, side float32[S]."""

_INVENTED = ("templates-ham",)
"""Corpora whose domains are invented: they are masked in every split."""
_MASKED_SHARE = 0.6
"""Share of training messages of the other corpora whose domains are masked."""
_SUFFIXES = ("com", "org", "net", "com", "info", "co.uk", "de", "com", "io", "fr")
_CHUNK = 200
_WORKER_LIMIT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """N messages as the model reads them; rows of message i are ``[offsets[i], offsets[i + 1])``."""

    hashing: Hashing
    tokens: NDArray[np.int32]
    """int32[sum of lengths, G]"""
    token_offsets: NDArray[np.int64]
    wide: NDArray[np.int32]
    wide_offsets: NDArray[np.int64]
    side: NDArray[np.float32]
    """float32[N, S]"""

    def __len__(self) -> int:
        return len(self.side)

    def lengths(self) -> NDArray[np.int64]:
        """int64[N]: tokens of each message."""
        return np.diff(self.token_offsets)

    def select(self, positions: Sequence[int] | NDArray[np.int64]) -> Encoded:
        """These messages, in this order."""
        chosen = [self.one(int(position)) for position in positions]
        return stack(chosen, self.hashing)

    def one(self, i: int) -> Inputs:
        """Message ``i`` without padding."""
        return (
            self.tokens[self.token_offsets[i] : self.token_offsets[i + 1]],
            self.wide[self.wide_offsets[i] : self.wide_offsets[i + 1]],
            self.side[i],
        )

    def tokens_of(self, i: int) -> Tokens:
        """Model input of one message, as the daemon has it."""
        words, features, side = self.one(i)
        tokens = np.zeros((self.hashing.max_tokens, self.hashing.grams), np.int32)
        wide = np.zeros(self.hashing.max_wide, np.int32)
        tokens[: len(words)] = words
        wide[: len(features)] = features
        return Tokens(tokens=tokens, length=len(words), wide=wide, side=side)

    def feeds(self, positions: NDArray[np.int64]) -> dict[str, NDArray[np.int32] | NDArray[np.float32]]:
        """Padded inputs of a batch; the padded length is one of a few, so that few shapes are compiled."""
        lengths = self.lengths()[positions].astype(np.int32)
        longest = min([n for n in (*_LENGTHS, self.hashing.max_tokens) if n >= lengths.max()])
        tokens = np.zeros((len(positions), longest, self.hashing.grams), np.int32)
        wide = np.zeros((len(positions), self.hashing.max_wide), np.int32)
        for row, position in enumerate(positions):
            words, features, _ = self.one(int(position))
            tokens[row, : len(words)] = words
            wide[row, : len(features)] = features
        return {"tokens": tokens, "length": lengths, "wide": wide, "side": self.side[positions]}


def stack(messages: Iterable[Inputs], hashing: Hashing) -> Encoded:
    """Encoded messages, in this order."""
    tokens, wide, side = [], [], []
    for words, features, facts in messages:
        tokens.append(words)
        wide.append(features)
        side.append(facts)
    return Encoded(
        hashing=hashing,
        tokens=np.concatenate(tokens) if tokens else np.zeros((0, hashing.grams), np.int32),
        token_offsets=np.cumsum([0, *map(len, tokens)], dtype=np.int64),
        wide=np.concatenate(wide) if wide else np.zeros(0, np.int32),
        wide_offsets=np.cumsum([0, *map(len, wide)], dtype=np.int64),
        side=np.array(side, np.float32).reshape(-1, len(hashing.side)),
    )


def joined_with(first: Encoded, second: Encoded) -> Encoded:
    """The messages of both, of the same hashing, one after the other."""
    return Encoded(
        hashing=first.hashing,
        tokens=np.concatenate([first.tokens, second.tokens]),
        token_offsets=np.concatenate([first.token_offsets, first.token_offsets[-1] + second.token_offsets[1:]]),
        wide=np.concatenate([first.wide, second.wide]),
        wide_offsets=np.concatenate([first.wide_offsets, first.wide_offsets[-1] + second.wide_offsets[1:]]),
        side=np.concatenate([first.side, second.side]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What came of reading examples."""

    encoded: Encoded
    texts: tuple[str, ...]
    """Words of subject and body of each message, for the clusters."""
    unscannable: tuple[int, ...]
    """Positions of examples that broke a limit; they are encoded as an empty message."""


def encode(examples: Sequence[Example], hashing: Hashing, *, training: bool = False, jobs: int = 1) -> Read:
    """Messages through the served extractor, in this order.

    In training, most messages get other domains and lose the facts of their headers, so that the network learns to do
    without knowing the sender; messages of corpora with invented domains always do.
    """
    if not examples:
        return Read(encoded=stack([], hashing), texts=(), unscannable=())
    chunks = [examples[start : start + _CHUNK] for start in range(0, len(examples), _CHUNK)]
    work = partial(_encode_chunk, hashing=hashing, training=training)
    if jobs > 1 and len(chunks) > jobs:
        context = multiprocessing.get_context("spawn")  # a fork would inherit TensorFlow's threads
        with ProcessPoolExecutor(min(jobs, _WORKER_LIMIT), mp_context=context) as pool:
            results = list(pool.map(work, chunks))
    else:
        results = [work(chunk) for chunk in chunks]
    rows = [row for result in results for row in result]
    return Read(
        encoded=stack((inputs for inputs, _, _ in rows), hashing),
        texts=tuple(text for _, text, _ in rows),
        unscannable=tuple(i for i, (_, _, is_read) in enumerate(rows) if not is_read),
    )


def _encode_chunk(examples: Sequence[Example], *, hashing: Hashing, training: bool) -> list[tuple[Inputs, str, bool]]:
    extractor = Extractor(examples[0].channel, hashing, ParseLimits())
    encoder = Encoder(hashing)
    rows = []
    for example in examples:
        try:
            extracted = extractor(example.raw)
        except Unscannable:
            rows.append((_trimmed(extractor(b"").tokens), "", False))
            continue
        tokens = extracted.tokens
        if _is_masked(example, training=training):
            tokens = encoder.encode(masked(extracted.features, example)).tokens
        rows.append((_trimmed(tokens), _text(extracted.features), True))
    return rows


def _text(features: Features) -> str:
    """Subject and body, without the author, whose name would keep two copies of a campaign apart."""
    head = features.head
    subject = head[1 : head.index("<from>")] if "<from>" in head else ()
    return " ".join((*subject, *features.body))


def _trimmed(tokens: Tokens) -> Inputs:
    return tokens.tokens[: tokens.length], tokens.wide[tokens.wide > 0], tokens.side


def _is_masked(example: Example, *, training: bool) -> bool:
    if example.channel is not Channel.EMAIL:
        return False
    return example.corpus in _INVENTED or (training and draw(example, "mask") < _MASKED_SHARE)


def masked(features: Features, example: Example) -> Features:
    """The features with other domains, each replaced throughout the message, and without facts of the headers."""
    swap = partial(_swapped, example=example)
    return replace(
        features,
        head=tuple(map(swap, features.head)),
        body=tuple(map(swap, features.body)),
        tail=tuple(map(swap, features.tail)),
        facts=(),
    )


def _swapped(word: str, example: Example) -> str:
    if not word.startswith("<d:"):
        return word
    digest = hashlib.sha256(f"{example.corpus}/{example.id}/{word}".encode()).digest()
    name = "".join(chr(ord("a") + octet % 26) for octet in digest[: 5 + digest[-1] % 7])
    return f"<d:{name}.{_SUFFIXES[digest[-2] % len(_SUFFIXES)]}>"

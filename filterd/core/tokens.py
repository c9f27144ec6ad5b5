"""Features as the integers a model reads. The one way from bytes to model input, for trainer and daemon alike.

A word becomes its own hash and those of its character n-grams; there is no vocabulary, so no word is unknown. The
linear path reads single words, pairs of neighbours, subject words once more, and facts.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from filterd.core.bundle import Hashing
from filterd.core.distinct import distinct
from filterd.core.domains import Domains
from filterd.core.envelope import Channel, Envelope
from filterd.core.features import EMAIL_SIDE, Features, extract
from filterd.core.message import Message, ParseLimits, parse_email
from filterd.core.normalize import NORMALIZER_VERSION, Normalizer
from filterd.core.sms import SMS_SIDE, extract_sms, text_of

Ints = npt.NDArray[np.int32]

_SEED = 20_261
DEFAULT_HASHING: Mapping[Channel, Hashing] = MappingProxyType(
    {
        Channel.EMAIL: Hashing(
            normalizer=NORMALIZER_VERSION,
            seed=_SEED,
            max_tokens=512,
            grams=6,
            token_buckets=32_768,
            max_wide=1_024,
            wide_buckets=2**18,
            side=EMAIL_SIDE,
        ),
        Channel.SMS: Hashing(
            normalizer=NORMALIZER_VERSION,
            seed=_SEED,
            max_tokens=96,
            grams=6,
            token_buckets=32_768,
            max_wide=192,
            wide_buckets=2**18,
            side=SMS_SIDE,
        ),
    }
)
"""What a new model is trained with."""

_TAIL_SHARE = 4
"""One word in four is read from the end of a body that is too long."""
_CAPACITY = 60_000
_GRAM_CHARS = (3, 4, 5)
_PAIR = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(29)
_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Model input of one message."""

    tokens: Ints
    """int32[T, G]; rows from ``length`` on are 0."""
    length: int
    """[1, T]"""
    wide: Ints
    """int32[W], distinct; 0 fills the rest."""
    side: npt.NDArray[np.float32]
    """float32[S]"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """Tokens and what they were made of, word by word."""

    tokens: Tokens
    words: tuple[str, ...]
    """The words that were read: ``tokens.length`` of them."""
    word_ids: Ints
    """int32[length]: the linear path's id of each word."""
    word_hashes: npt.NDArray[np.uint64]
    """uint64[length]: independent of the model; for the fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """Everything read from one message on the way to its tokens."""

    features: Features
    message: Message | None
    """None for an SMS."""
    encoded: Encoded

    @property
    def tokens(self) -> Tokens:
        """The model input."""
        return self.encoded.tokens


class Extractor:
    """Bytes to tokens for one channel; remembers the words it has seen, at most 60,000."""

    def __init__(self, channel: Channel, hashing: Hashing, limits: ParseLimits, domains: Domains | None = None) -> None:
        """``domains`` may be shared between extractors of one process: its list takes several megabytes."""
        self.channel = channel
        self.hashing = hashing
        self._limits = limits
        self._domains = domains or Domains()
        self._normalizer = Normalizer(self._domains.registrable)
        self._encoder = Encoder(hashing)

    def __call__(self, raw: bytes, envelope: Envelope | None = None) -> Extracted:
        """Everything about one message. ``envelope`` is not read yet. Raises Unscannable."""
        del envelope
        message = None
        if self.channel is Channel.EMAIL:
            message = parse_email(raw, self._limits)
            features = extract(message, self._normalizer, self._domains)
        else:
            text = text_of(raw)[: self._limits.max_text_chars]
            features = extract_sms(text, self._normalizer)
        return Extracted(encoded=self._encoder.encode(features), features=features, message=message)


class Encoder:
    """Features to tokens; remembers the words it has seen."""

    def __init__(self, hashing: Hashing, capacity: int = _CAPACITY) -> None:
        self._hashing = hashing
        self._capacity = capacity + hashing.max_tokens
        self._rows = np.zeros((self._capacity, hashing.grams), dtype=np.int32)
        self._words = np.zeros(self._capacity, dtype=np.uint64)
        self._hashes = np.zeros(self._capacity, dtype=np.uint64)
        self._wide_ids = np.zeros(self._capacity, dtype=np.int32)
        self._known: dict[str, int] = {}

    def encode(self, features: Features) -> Encoded:
        """The model input; the same for equal features, whatever was encoded before."""
        hashing = self._hashing
        if len(self._known) + hashing.max_tokens > self._capacity:
            self._known.clear()
        read = _read(features, hashing.max_tokens) or ("<none>",)
        at = np.array(self._rows_of(read), dtype=np.intp)
        tokens = np.zeros((hashing.max_tokens, hashing.grams), dtype=np.int32)
        # "clip" spares the copy that checking first would take; every index is one of ours.
        self._rows.take(at, axis=0, out=tokens[: len(at)], mode="clip")
        word_ids = self._wide_ids[at]
        return Encoded(
            tokens=Tokens(
                tokens=tokens, length=len(at), wide=self._wide(features, self._words[at], word_ids), side=features.side
            ),
            words=read,
            word_ids=word_ids,
            word_hashes=self._hashes[at],
        )

    def _rows_of(self, words: tuple[str, ...]) -> list[int]:
        """Where each word is kept; one look-up for each that is known, as they are scattered over megabytes."""
        known = self._known
        rows = []
        for word in words:
            row = known.get(word)
            rows.append(self._learn(word) if row is None else row)
        return rows

    def _wide(self, features: Features, words: npt.NDArray[np.uint64], word_ids: Ints) -> Ints:
        hashing = self._hashing
        seed = hashing.seed
        extra = [zlib.crc32(f"f:{fact}".encode(), seed) for fact in features.facts]
        if "<body>" in features.head:
            subject = features.head[1 : features.head.index("<from>")]
            extra += [zlib.crc32(f"s:{word}".encode("utf-8", "replace"), seed) for word in subject]
        facts = _buckets(np.array(extra, dtype=np.uint64), hashing.wide_buckets)
        pairs = _buckets(words[:-1] * _PAIR + words[1:], hashing.wide_buckets)
        ids = distinct(np.concatenate((facts, word_ids, pairs)))
        if len(ids) > hashing.max_wide:
            # Too many: facts and single words first, pairs in the room that is left.
            single = distinct(np.concatenate((facts, word_ids)))[: hashing.max_wide]
            rest = np.setdiff1d(ids, single, assume_unique=True)
            ids = np.concatenate((single, rest[: hashing.max_wide - len(single)]))
        wide = np.zeros(hashing.max_wide, dtype=np.int32)
        wide[: len(ids)] = ids
        return wide

    def _learn(self, word: str) -> int:
        row = len(self._known)
        ids = token_ids(word, self._hashing)
        self._rows[row] = ids + [0] * (self._hashing.grams - len(ids))
        data = word.encode("utf-8", "replace")
        value = zlib.crc32(data, self._hashing.seed)
        self._words[row] = value
        self._hashes[row] = zlib.crc32(data)
        self._wide_ids[row] = _bucket(value, self._hashing.wide_buckets)
        self._known[word] = row
        return row


def token_ids(word: str, hashing: Hashing) -> list[int]:
    """Id of the word, then those of its n-grams: at most ``grams``, each in [1, token_buckets)."""
    buckets = hashing.token_buckets - 1
    ids = [zlib.crc32(word.encode("utf-8", "replace"), hashing.seed) % buckets + 1]
    if word[0] == "<" and ":" not in word:
        return ids
    ends, parts = _grams(f"^{word.strip('<>')}$")
    salt = zlib.crc32(b"g:", hashing.seed)
    # The inner n-grams with the smallest hashes: a small change of the word leaves most of the choice as it was.
    values = [zlib.crc32(gram, salt) for gram in ends]
    values += sorted(map(zlib.crc32, parts, repeat(salt)))
    return ids + [value % buckets + 1 for value in values[: hashing.grams - 1]]


def _grams(marked: str) -> tuple[tuple[bytes, ...], set[bytes]]:
    """The first and the last four characters; and every other part of 3 to 5 characters but the whole. UTF-8."""
    if marked.isascii():
        data = marked.encode()
        parts = set(map(data.__getitem__, _slices(len(data))))
        whole, first, last = data, data[:4], data[-4:]
    else:
        texts = {marked[i : i + n] for n in _GRAM_CHARS for i in range(len(marked) - n + 1)}
        parts = {text.encode("utf-8", "replace") for text in texts - {marked}}
        whole, first, last = b"", marked[:4].encode("utf-8", "replace"), marked[-4:].encode("utf-8", "replace")
    parts.difference_update((whole, first, last))
    return (first,) if first == last else (first, last), parts


@lru_cache(maxsize=128)
def _slices(length: int) -> tuple[slice, ...]:
    """Where the n-grams of so many characters are: a word that is new is cut twenty times."""
    return tuple(slice(i, i + n) for n in _GRAM_CHARS for i in range(length - n + 1))


def _read(features: Features, most: int) -> tuple[str, ...]:
    """The words that are read: all of head and tail, the beginning and the end of the body."""
    whole = (*features.head, *features.body, *features.tail)
    if len(whole) <= most:
        return whole
    room = most - len(features.head) - len(features.tail)
    if room <= 0:
        return whole[:most]
    end = room // _TAIL_SHARE
    body = features.body
    return (*features.head, *body[: room - end], *(body[-end:] if end else ()), *features.tail)


def _bucket(value: int, buckets: int) -> int:
    """The same as ``_buckets`` for one value, without an array around it."""
    mixed = (value * int(_MIX)) & _MASK
    mixed ^= mixed >> int(_SHIFT)
    return mixed % (buckets - 1) + 1


def _buckets(values: npt.NDArray[np.uint64], buckets: int) -> Ints:
    mixed = values * _MIX
    mixed ^= mixed >> _SHIFT
    return (mixed % np.uint64(buckets - 1)).astype(np.int32) + np.int32(1)

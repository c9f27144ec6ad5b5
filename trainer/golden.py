"""The messages that every candidate is asked about, the same ones every time: the golden set, and ham of today.

An operator's golden set is a folder with ``ham`` and ``spam``, one message as received in each file. Without one it is
the test part of the modern messages that ship with the trainer, which no training reads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from filterd.core.bundle import Hashing
from filterd.core.envelope import Channel
from filterd.core.fingerprint import fingerprint
from filterd.core.message import ParseLimits
from filterd.core.tokens import Extractor
from filterd.errors import Unscannable
from trainer.config import SplitConfig
from trainer.errors import CorpusError
from trainer.example import Example, Label, rank
from trainer.prepare import Split, cluster, fold, split
from trainer.sources.email_modern import composed
from trainer.sources.modern import FOLDER, Part, Written, written

CORPUS = "modern"
_LENDERS = 200
"""Most messages that an attacker may borrow from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A message whose label is known."""

    example: Example
    language: str = ""
    """ISO 639-1, where it is known."""

    @property
    def is_spam(self) -> bool:
        """Its label."""
        return self.example.label is Label.SPAM


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """The frozen sets of a channel."""

    golden: tuple[Case, ...]
    tripwire: tuple[Case, ...]
    lenders: tuple[Example, ...]
    """Ham that an attacker may borrow from; none of it is in the sets."""
    held_back: frozenset[str]
    """Ids of the corpus ``modern`` that must not be trained on."""


def read(channel: Channel, folder: Path | None = None, most: int | None = None) -> Golden:
    """The sets, at most ``most`` messages of a set and label. Raises CorpusError."""
    messages = tuple(written(FOLDER / channel))
    training = [message for message in messages if message.part is Part.TRAIN]
    held = held_back(channel, training)
    lenders = [message for message in training if message.id not in held and message.label is Label.HAM]
    golden = [message for message in training if message.id in held]
    return Golden(
        golden=_cases(channel, golden, most) if folder is None else _of_operator(channel, folder, most),
        tripwire=_cases(channel, [message for message in messages if message.part is Part.TRIPWIRE], most),
        lenders=tuple(case.example for case in _cases(channel, lenders, min(most or _LENDERS, _LENDERS))),
        held_back=held,
    )


def fingerprints(cases: Sequence[Case], hashing: Hashing) -> frozenset[str]:
    """What near-duplicates of these messages are recognised by, whatever label they have."""
    found = set()
    if cases:
        extract = Extractor(cases[0].example.channel, hashing, ParseLimits())
        for case in cases:
            with contextlib.suppress(Unscannable):
                found.add(fingerprint(extract(case.example.raw).encoded.word_hashes))
    return frozenset(found - {""})


def held_back(channel: Channel, messages: Sequence[Written]) -> frozenset[str]:
    """Ids of the test part, as ``prepare`` divides the corpus: by the hash of each cluster."""
    ordered = sorted(messages, key=lambda message: message.id)
    examples = [Example(id=m.id, corpus=CORPUS, channel=channel, label=m.label, raw=b"") for m in ordered]
    clusters = cluster([fold(f"{m.subject} {m.text}") for m in ordered])
    splits = split(examples, np.asarray(clusters), SplitConfig())
    return frozenset(m.id for m, part in zip(ordered, splits, strict=True) if part is Split.TEST)


def _cases(channel: Channel, messages: Sequence[Written], most: int | None) -> tuple[Case, ...]:
    """Messages as received. Which ones, where they are too many, is decided by a hash of their ids."""
    chosen: list[Written] = []
    for label in Label:
        of_label = [message for message in messages if message.label is label]
        chosen += sorted(of_label, key=lambda m: rank(_example(channel, m, b""), "gate"))[:most]
    raw_of = composed if channel is Channel.EMAIL else _text
    return tuple(
        Case(example=_example(channel, message, raw_of(message)), language=message.lang)
        for message in sorted(chosen, key=lambda m: m.id)
    )


def _example(channel: Channel, message: Written, raw: bytes) -> Example:
    return Example(id=message.id, corpus=CORPUS, channel=channel, label=message.label, raw=raw, group=message.kind)


def _text(message: Written) -> bytes:
    return message.text.encode()


def _of_operator(channel: Channel, folder: Path, most: int | None) -> tuple[Case, ...]:
    cases: list[Case] = []
    for label in Label:
        try:
            files = sorted(path for path in (folder / label).iterdir() if path.is_file())
            found = [
                Example(id=f"{label}/{path.name}", corpus="golden", channel=channel, label=label, raw=path.read_bytes())
                for path in files[:most]
            ]
        except OSError as exc:
            raise CorpusError(
                f"{folder / label}: cannot be read ({exc.strerror}); a golden set is a folder with ham and spam, one "
                "message in each file"
            ) from exc
        cases += [Case(example=example) for example in found]
    if not cases:
        raise CorpusError(f"{folder}: holds no message; put messages as received into its folders ham and spam")
    return tuple(cases)

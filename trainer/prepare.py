"""Turns examples into a corpus that can be trained on and measured honestly.

Near-duplicates are clustered over everything of a channel, and every cluster lies on one side of a split. Where a
corpus has dates its newest part is the test; elsewhere the cluster's hash decides, or the group where a corpus is
made of a few sources. Same examples in, same corpus out.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import numpy as np
import rensa
from numpy.typing import NDArray

from trainer.config import SplitConfig
from trainer.errors import CorpusError
from trainer.example import Example, Label, draw, rank

_URL = re.compile(r"(?:https?://|www\.)\S+")
_DIGIT = re.compile(r"\d")
_NOT_WORD = re.compile(r"[\W_]+")
_GRAM = 4
"""Characters per shingle."""
_READ = 4000
"""Characters of folded text that are compared."""
_PERMUTATIONS = 96
_BANDS = 24
"""24 bands of 4 rows: pairs with a Jaccard similarity of .5 meet with probability .79, of .6 with .96."""
_SEED = 20_110_527


class Split(StrEnum):
    """Which part of a corpus an example belongs to."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


_ORDER = {Split.TRAIN: 0, Split.VALIDATION: 1, Split.TEST: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Examples with their clusters and splits, position by position."""

    examples: tuple[Example, ...]
    clusters: NDArray[np.int64]
    """int64[N]: the lowest position of the cluster's members."""
    splits: tuple[Split, ...]

    def where(self, split: Split) -> NDArray[np.int64]:
        """Positions of a split, ascending."""
        return np.flatnonzero(np.array([each is split for each in self.splits], bool)).astype(np.int64)

    def manifest(self) -> str:
        """JSON: examples per corpus, label and split, and one hash over ids, labels, contents and splits."""
        counts = Counter((e.corpus, str(e.label), str(s)) for e, s in zip(self.examples, self.splits, strict=True))
        digest = hashlib.sha256()
        for example, split in zip(self.examples, self.splits, strict=True):
            content = hashlib.sha256(example.raw).hexdigest()
            digest.update(f"{example.corpus}\t{example.id}\t{example.label}\t{split}\t{content}\n".encode())
        rows = [
            {"corpus": corpus, "label": label, "split": each, "examples": count}
            for (corpus, label, each), count in sorted(counts.items())
        ]
        return json.dumps({"sha256": digest.hexdigest(), "rows": rows}, indent=1) + "\n"


def capped(examples: Iterable[Example], config: SplitConfig, sample: int | None = None) -> tuple[Example, ...]:
    """At most so many examples per corpus and label, and per group, as the configuration allows, or ``sample``.

    Which ones is decided by a hash of their ids, so that more of a corpus never changes the choice by order.
    """
    bins: dict[tuple[str, str], list[Example]] = defaultdict(list)
    for example in examples:
        bins[example.corpus, str(example.label)].append(example)
    chosen: list[Example] = []
    for (corpus, label), members in bins.items():
        members.sort(key=lambda e: rank(e, "cap"))
        kept = _capped_groups(members, config.group_caps.get(corpus))
        chosen.extend(kept[: min(config.caps.get(f"{corpus}/{label}", len(kept)), sample or len(kept))])
    return tuple(sorted(chosen, key=lambda e: (e.corpus, e.id)))


def _capped_groups(members: list[Example], cap: int | None) -> list[Example]:
    if cap is None:
        return members
    seen: Counter[str] = Counter()
    kept = []
    for example in members:
        seen[example.group] += 1
        if seen[example.group] <= cap:
            kept.append(example)
    return kept


def fold(text: str) -> str:
    """Text as it is compared: NFKC, lower case, digits to 0, URLs to one word, everything else but letters dropped.

    Dropping the spaces makes a tokenised copy of a message equal to the original.
    """
    lowered = unicodedata.normalize("NFKC", text).lower()
    return _NOT_WORD.sub("", _DIGIT.sub("0", _URL.sub("wwwurl", lowered)))[:_READ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Marks:
    """What N texts are compared by."""

    keys: tuple[bytes, ...]
    """16 octets, the same for equal texts only."""
    digests: NDArray[np.uint64]
    """uint64[N, permutations]: MinHash; zeros where the text is too short for it."""

    def select(self, positions: Sequence[int] | NDArray[np.int64]) -> Marks:
        """Those at these positions, in this order."""
        return Marks(keys=tuple(self.keys[int(p)] for p in positions), digests=self.digests[positions])


def marks_of(folded: Sequence[str]) -> Marks:
    """The marks of each text: of no other text's, so that parts can be read anywhere."""
    keys = tuple(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16] for text in folded)
    digests = np.zeros((len(folded), _PERMUTATIONS), np.uint64)
    first: dict[bytes, int] = {}
    origin = [first.setdefault(key, position) for position, key in enumerate(keys)]
    # Corpora repeat themselves, and a digest is what takes long.
    long = [position for position in first.values() if len(folded[position]) > 2 * _GRAM]
    if long:
        digests[long] = _digests([folded[position] for position in long])
    return Marks(keys=keys, digests=digests[origin])


def cluster(folded: Sequence[str]) -> NDArray[np.int64]:
    """int64[N]: for each text the lowest position of a text in its near-duplicate cluster.

    Two texts are joined when the estimated Jaccard similarity of their character 4-grams is .5 or more; texts too
    short for that are joined when they are equal.
    """
    return clusters_of(marks_of(folded))


def clusters_of(marks: Marks) -> NDArray[np.int64]:
    """The same of texts that are known by their marks."""
    parent = np.arange(len(marks.keys), dtype=np.int64)
    first: dict[bytes, int] = {}
    for position, key in enumerate(marks.keys):
        parent[position] = first.setdefault(key, position)
    unique = np.array([p for p in first.values() if marks.digests[p].any()], np.int64)
    if len(unique) > 1:
        _join(parent, unique, marks.digests[unique])
    return np.array([_root(parent, p) for p in range(len(parent))], np.int64)


def _digests(texts: Sequence[str]) -> NDArray[np.uint64]:
    """uint64[N, permutations]: MinHash digests. Source: Broder 1997."""
    rows, offsets = [], [0]
    weights = np.array([1_000_003, 998_244_353, 19_260_817, 2_147_483_647], np.uint64)
    for text in texts:
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
        grams = np.lib.stride_tricks.sliding_window_view(points, _GRAM) * weights
        hashed = np.unique(grams.sum(axis=1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
        rows.append(hashed)
        offsets.append(offsets[-1] + len(hashed))
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        np.concatenate(rows), np.array(offsets, np.uint64), _PERMUTATIONS, _SEED
    )
    return np.asarray(matrix.to_rows(), np.uint64)


def _join(parent: NDArray[np.int64], positions: NDArray[np.int64], digests: NDArray[np.uint64]) -> None:
    """Join what shares a band and is similar; only neighbours in a bucket are compared, which the bands make up for."""
    rows = _PERMUTATIONS // _BANDS
    for band in range(_BANDS):
        keys = np.ascontiguousarray(digests[:, band * rows : (band + 1) * rows])
        order = np.lexsort(keys.T)
        same = np.all(keys[order[1:]] == keys[order[:-1]], axis=1)
        left, right = order[:-1][same], order[1:][same]
        similar = np.mean(digests[left] == digests[right], axis=1) >= 0.5
        for a, b in zip(positions[left[similar]], positions[right[similar]], strict=True):
            _union(parent, int(a), int(b))


def _root(parent: NDArray[np.int64], position: int) -> int:
    while parent[position] != position:
        parent[position] = parent[parent[position]]
        position = int(parent[position])
    return position


def _union(parent: NDArray[np.int64], a: int, b: int) -> None:
    low, high = sorted((_root(parent, a), _root(parent, b)))
    parent[high] = low


def split(examples: Sequence[Example], clusters: NDArray[np.int64], config: SplitConfig) -> tuple[Split, ...]:
    """The split of each example: the earliest of those that the members of its cluster ask for.

    A message that was seen in training time is thus never in the test, however often it came again later.
    """
    cuts = _cuts(examples, config)
    earliest: dict[int, Split] = {}
    for position, example in enumerate(examples):
        root = int(clusters[position])
        wish = _wish(example, examples[root], cuts, config)
        held = earliest.get(root)
        earliest[root] = wish if held is None or _ORDER[wish] < _ORDER[held] else held
    return tuple(earliest[int(root)] for root in clusters)


def _cuts(examples: Sequence[Example], config: SplitConfig) -> dict[tuple[str, Label], tuple[datetime, datetime]]:
    """Per corpus and label the moments at which validation and test begin."""
    dates: dict[tuple[str, Label], list[datetime]] = defaultdict(list)
    for example in examples:
        if example.date is not None:
            dates[example.corpus, example.label].append(example.date)
    cuts = {}
    for key, found in dates.items():
        found.sort()
        last = len(found) - 1
        cuts[key] = (found[int(config.train_ratio * last)], found[int(config.until_test_ratio * last)])
    return cuts


def _wish(
    example: Example, root: Example, cuts: dict[tuple[str, Label], tuple[datetime, datetime]], config: SplitConfig
) -> Split:
    groups = config.held_groups.get(example.corpus)
    if groups is not None:
        return Split(groups.get(example.group, Split.TRAIN))
    if example.date is not None:
        validation, test = cuts[example.corpus, example.label]
        if example.date > test:
            return Split.TEST
        return Split.VALIDATION if example.date > validation else Split.TRAIN
    if example.corpus in config.whole_groups:
        root = replace(example, id=example.group)
    share = draw(root, "split")
    if share < config.train_ratio:
        return Split.TRAIN
    return Split.VALIDATION if share < config.until_test_ratio else Split.TEST


def assemble(examples: Sequence[Example], texts: Sequence[str], config: SplitConfig) -> Corpus:
    """The corpus of these examples, ``texts`` being what is visible in each. Raises CorpusError as ``divide`` does."""
    return divide(examples, marks_of([fold(text) for text in texts]), config)


def divide(examples: Sequence[Example], marks: Marks, config: SplitConfig) -> Corpus:
    """The corpus of these examples, ``marks`` being those of the folded text that is visible in each.

    Raises CorpusError when there is nothing, one label only, or a split without one of the labels.
    """
    if not examples:
        raise CorpusError("no example was read; point --data or FILTERD_DATA at the folder of the corpora")
    labels = {example.label for example in examples}
    if len(labels) < 2:
        raise CorpusError(
            f"every example of {_named(examples)} is {labels.pop()}; a filter needs both labels, add a corpus"
        )
    clusters = clusters_of(marks)
    splits = split(examples, clusters, config)
    have = Counter((s, e.label) for e, s in zip(examples, splits, strict=True))
    for each in Split:
        for label in Label:
            if not have[each, label]:
                raise CorpusError(
                    f"no {label} is left for {each}: {_named(examples)} are all repeats, or too small; add messages"
                )
    return Corpus(examples=tuple(examples), clusters=clusters, splits=splits)


def _named(examples: Sequence[Example]) -> str:
    return ", ".join(sorted({example.corpus for example in examples}))

"""Reads the corpora of the published systems as their authors did: every row, with its repeats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.errors import CorpusError
from trainer.example import Label
from trainer.published.config import CorpusName
from trainer.sources import imdb, sms_uci
from trainer.sources.archive import label_of, table

_YOUTUBE_FILE = "spam-dataset.csv"
_YOUTUBE_LABELS = {"ham": Label.HAM, "spam": Label.SPAM}


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """Rows of a corpus, position by position."""

    texts: tuple[str, ...]
    labels: NDArray[np.bool_]
    """bool[N]: spam, or positive."""
    groups: NDArray[np.str_]
    """Where in the corpus a row comes from."""
    is_test: NDArray[np.bool_]
    """bool[N]: of the test part that the corpus itself defines; all False where it defines none."""
    classes: tuple[str, str]
    """Names of the labels, the one that is looked for last."""

    def __len__(self) -> int:
        return len(self.texts)

    def at(self, positions: NDArray[np.int64]) -> tuple[str, ...]:
        """The texts at these positions."""
        return tuple(self.texts[i] for i in positions)


def read(corpus: CorpusName, data: Path, sample: int = 0) -> Texts:
    """The corpus ``data / corpus.tar.xz``, or ``sample`` rows of it drawn with a fixed seed. Raises CorpusError."""
    path = data / f"{corpus}.tar.xz"
    rows = {CorpusName.SMS_UCI: _sms, CorpusName.SMS_YOUTUBE: _comments, CorpusName.IMDB: _reviews}[corpus](path)
    if sample and len(rows) > sample:
        chosen = np.random.default_rng(0).permutation(len(rows))[:sample]
        rows = [rows[i] for i in np.sort(chosen)]
    classes = ("negative", "positive") if corpus is CorpusName.IMDB else ("ham", "spam")
    labels = np.array([row[1] for row in rows], bool)
    if len(set(labels.tolist())) < 2:
        only = f"every row is {classes[int(labels[0])]}" if rows else "no row is left"
        raise CorpusError(f"{path}: {only}; a classifier needs both labels, fetch the corpus again")
    return Texts(
        texts=tuple(row[0] for row in rows),
        labels=labels,
        groups=np.array([row[2] for row in rows]),
        is_test=np.array([row[3] for row in rows], bool),
        classes=classes,
    )


_Row = tuple[str, bool, str, bool]
"""Text, label, group, is in the test part."""


def _sms(path: Path) -> list[_Row]:
    return [(e.raw.decode(), e.label is Label.SPAM, "sms", False) for e in sms_uci.read(path)]


def _comments(path: Path) -> list[_Row]:
    rows = []
    for number, row in table(path, _YOUTUBE_FILE, ("label", "text", "source"), "utf-8"):
        label = label_of(row["label"], _YOUTUBE_LABELS, f"{path}: row {number}")
        rows.append((row["text"], label is Label.SPAM, "youtube" if "youtube" in row["source"] else "sms", False))
    return rows


def _reviews(path: Path) -> list[_Row]:
    return [(r.text, r.is_positive, "imdb", r.is_test) for r in imdb.read(path)]

"""Two linear filters in the trainer's own process: what a small script of one's own would reach.

Sources: Goodman and Yih 2006, "Online discriminative spam filter training"; Sculley, Wachman and Brodley 2006,
"Spam filtering using inexact string matching in explicit feature space" (character 4-grams, training on or near
errors); the HIT2 filter of the CEAS 2008 challenge (first 3,000 bytes, binary features).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

from trainer.example import Example, Label

_GRAM = 4
_READ_BYTES = 3000
_BITS = 22
"""4 million weights: the first messages of a corpus fill a few per cent of them."""
_MIX = np.uint32(2_654_435_761)
"""2**32 / golden ratio; the upper bits of the product are the bucket. Source: Knuth, TAOCP 3, 6.4."""
_RATE = 0.004
_MARGIN = 0.1
"""A message is learned from until its label has all but this much of the probability: on and near errors."""
_READ_CHARACTERS = 4000


class OnlineLogistic:
    """Logistic regression over the bytes' 4-grams, one message at a time; scores are probabilities, [0, 1]."""

    cut = 0.5

    def __init__(self) -> None:
        self.name = "char-4-gram logistic regression"
        self._weights = np.zeros(1 << _BITS, np.float64)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def learn(self, examples: Sequence[Example]) -> None:
        """One step for each that is wrong or close to the border, in this order."""
        for example in examples:
            buckets = _buckets(example.raw)
            probability = self._probability(buckets)
            truth = float(example.label is Label.SPAM)
            if abs(truth - probability) > _MARGIN:
                self._weights[buckets] += _RATE * (truth - probability)

    def score(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """float64[len(examples)]."""
        return np.array([self._probability(_buckets(example.raw)) for example in examples], np.float64)

    def _probability(self, buckets: NDArray[np.uint32]) -> float:
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, float(self._weights[buckets].sum())))))


def _buckets(raw: bytes) -> NDArray[np.uint32]:
    """uint32[at most 2997]: the bucket of every 4-gram that occurs, once each."""
    read = np.frombuffer(raw[:_READ_BYTES].ljust(_GRAM), np.uint8).astype(np.uint32)
    grams = read[:-3] | read[1:-2] << 8 | read[2:-1] << 16 | read[3:] << 24
    return np.unique((grams * _MIX) >> np.uint32(32 - _BITS))


class LinearSvm:
    """A linear SVM over TF-IDF of characters (2-5 within words) and words (1-2); scores are signed distances.

    Reads the first 4,000 characters of a message, undecoded, and forgets n-grams that only one message has. Learning
    more fits everything again.
    """

    cut = 0.0

    def __init__(self, *, seed: int = 7) -> None:
        self.name = "TF-IDF linear SVM"
        self._seed = seed
        self._texts: list[str] = []
        self._truths: list[bool] = []
        self._pipeline: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def learn(self, examples: Sequence[Example]) -> None:
        """Fit again, on these and all before."""
        self._texts += [_text(example) for example in examples]
        self._truths += [example.label is Label.SPAM for example in examples]
        if len(set(self._truths)) == 2:
            self._pipeline = self._fitted()

    def score(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """float64[len(examples)]; 0 while only one label has been seen."""
        if not examples or self._pipeline is None:
            return np.zeros(len(examples))
        return np.asarray(self._pipeline.decision_function([_text(example) for example in examples]), np.float64)

    def _fitted(self) -> Any:
        shared: dict[str, Any] = {"sublinear_tf": True, "dtype": np.float32, "min_df": 2}
        features = make_union(
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **shared),
            TfidfVectorizer(ngram_range=(1, 2), **shared),
        )
        return make_pipeline(features, LinearSVC(random_state=self._seed)).fit(self._texts, self._truths)


def _text(example: Example) -> str:
    return example.raw.decode("utf-8", "replace")[:_READ_CHARACTERS]

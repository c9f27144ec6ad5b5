"""Puts what people said beside the corpora that a model is trained on."""

from __future__ import annotations

import numpy as np

from filterd.core.token_codec import unpack
from filterd.core.verdict import Label
from trainer.features import joined_with, stack
from trainer.feedback import Divided, FeedbackRules
from trainer.train import Part

CORPUS = "feedback"


def with_feedback(part: Part, divided: Divided, rules: FeedbackRules | None = None) -> Part:
    """The part and the labels that are taught. Raises ValueError for an input of another hashing.

    Within a label feedback is drawn like one more corpus, by the square root of what its labels count together, and
    never more often than the rules' share: however many there are, most of what is read stays what it was.
    """
    rules = rules or FeedbackRules()
    hashing = part.encoded.hashing
    inputs = [unpack(each.tokens, hashing) for each in divided.taught]
    encoded = stack(((t.tokens[: t.length], t.wide[t.wide > 0], t.side) for t in inputs), hashing)
    labels = np.array([each.label is Label.SPAM for each in divided.taught], np.float32)
    base, drawn = part.weights.copy(), np.zeros(len(labels))
    for label in (0.0, 1.0):
        inside, added = part.labels == label, labels == label
        mass = float(divided.weights[added].sum())
        if not mass:
            continue
        _, sizes = np.unique(part.corpora[inside], return_counts=True)
        share = min(rules.most_share, mass**0.5 / (mass**0.5 + float(np.sqrt(sizes).sum())))
        drawn[added] = share * base[inside].sum() * divided.weights[added] / mass
        base[inside] *= 1 - share
    return Part(
        encoded=joined_with(part.encoded, encoded),
        labels=np.concatenate([part.labels, labels]),
        corpora=np.concatenate([part.corpora, np.full(len(labels), CORPUS)]),
        weights=np.concatenate([base, drawn]),
    )

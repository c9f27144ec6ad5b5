"""A site's own calibration: a shift and a stretch of a bundle's log-odds, fitted to a few dozen labels.

It starts from what the bundle says and moves as far as the labels carry: a Platt fit with a normal prior around scale
1 and bias 0, inside bounds. Labels are not drawn as messages are (people report more spam than they wait for): each
label counts so that together they have the share of spam that the bundle sees at this site.

Sources: Platt 1999, "Probabilistic outputs for support vector machines"; Elkan 2001, "The foundations of cost-sensitive
learning" (weights for another class share); Kish 1965 (effective sample size); Naeini et al. 2015 (ECE).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filterd.core.bundle import Calibration
from filterd.core.calibration import log_odds
from filterd.core.campaigns import leaders
from filterd.core.envelope import MessageId
from filterd.core.verdict import Label
from filterd.errors import UsageError

Floats = npt.NDArray[np.float64]

FEWEST = 20
FEWEST_OF_A_LABEL = 3
"""With fewer the other folds have too little of one label to fit anything."""
MOST = 500
"""Labels looked at, the newest ones."""
SCALES = (1 / 3, 3.0)
BIASES = (-2.0, 2.0)
"""Bounds of what a site may change: labels by hand are few, and an attacker may have given some of them."""
_SCALE_DEVIATION, _BIAS_DEVIATION = 0.5, 1.0
"""Of the prior: about ten labels weigh as much."""
_SHARES = (0.05, 0.95)
_FOLDS = 5
_BINS = 5
_STEPS = 50
_LARGEST = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledLogit:
    """A standing label on a message that a bundle had judged."""

    message: MessageId
    label: Label
    logit: float
    """As the bundle gave it, log-odds."""
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How far probabilities are from the labels."""

    log_loss: float
    """Nats per message, 0 or more."""
    ece: float
    """Expected calibration error, [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A calibration to put behind the bundle's own, and what it is worth on labels it was not fitted to."""

    calibration: Calibration
    labels: int
    spam: int
    before: Figures
    after: Figures
    gain_error: float
    """Standard error of the difference of the two log losses."""

    @property
    def is_better(self) -> bool:
        """Whether unseen labels have more probability with it than without, by more than the luck of these labels."""
        return self.before.log_loss - self.after.log_loss > self.gain_error


def fit_site(labels: Sequence[LabelledLogit], bundle: Calibration, spam_share: float) -> Fit:
    """What ``labels``, the newest first, make of a bundle that sees ``spam_share`` spam at this site, [0, 1].

    Near copies count once, messages with two opinions not at all. Raises UsageError where the labels are too few, all
    alike, or only about mistakes.
    """
    chosen = _distinct(labels[:MOST])
    is_spam = np.array([label.label is Label.SPAM for label in chosen], np.float64)
    odds = np.array([log_odds(label.logit, bundle) for label in chosen], np.float64).clip(-_LARGEST, _LARGEST)
    _check(is_spam, odds)
    weights = _weights(is_spam, spam_share)
    unseen = np.empty(len(chosen))
    fold = _folds(is_spam)
    for number in range(_FOLDS):
        train = fold != number
        scale, bias = _fit(odds[train], is_spam[train], weights[train])
        unseen[~train] = scale * odds[~train] + bias
    scale, bias = _fit(odds, is_spam, weights)
    return Fit(
        calibration=Calibration(scale=scale, bias=bias),
        labels=len(chosen),
        spam=int(is_spam.sum()),
        before=_figures(odds, is_spam, weights),
        after=_figures(unseen, is_spam, weights),
        gain_error=_error(_losses(odds, is_spam) - _losses(unseen, is_spam), weights),
    )


def _distinct(labels: Sequence[LabelledLogit]) -> list[LabelledLogit]:
    opinions: dict[MessageId, set[Label]] = {}
    for label in labels:
        opinions.setdefault(label.message, set()).add(label.label)
    agreed: dict[MessageId, LabelledLogit] = {}
    for label in labels:
        if len(opinions[label.message]) == 1:
            agreed.setdefault(label.message, label)
    known = list(agreed.values())
    leading = leaders([label.fingerprint for label in known]).tolist()
    return [label for position, label in enumerate(known) if leading[position] == position]


def _check(is_spam: Floats, odds: Floats) -> None:
    """Raises UsageError, saying what is missing."""
    count, spam = len(is_spam), int(is_spam.sum())
    if count < FEWEST:
        raise UsageError(
            f"{FEWEST - count} labels are missing: {count} of {FEWEST} different messages that this model judged "
            "have one (`filterd questions` names some)"
        )
    for name, found in ((Label.SPAM, spam), (Label.HAM, count - spam)):
        if found < FEWEST_OF_A_LABEL:
            raise UsageError(
                f"{FEWEST_OF_A_LABEL - found} labels {name} are missing: {found} of the {count} labelled messages are"
            )
    wrong = int(np.count_nonzero((odds >= 0) != (is_spam > 0)))
    if 2 * wrong > count:
        raise UsageError(
            f"{wrong} of {count} labels are about mistakes of the model: label messages it got right, too, or they "
            "make it look worse than it is (`filterd questions` names some)"
        )


def _weights(is_spam: Floats, spam_share: float) -> Floats:
    """So that spam has ``spam_share`` of the weight; their sum is the effective number of labels."""
    share = min(max(spam_share, _SHARES[0]), _SHARES[1])
    mean = float(is_spam.mean())
    weights = np.where(is_spam > 0, share / mean, (1 - share) / (1 - mean))
    effective = weights.sum() ** 2 / np.square(weights).sum()
    return np.asarray(weights * effective / weights.sum(), np.float64)


def _folds(is_spam: Floats) -> npt.NDArray[np.int64]:
    """The number of each label's fold, each fold with its part of either label."""
    fold = np.empty(len(is_spam), np.int64)
    for value in (0.0, 1.0):
        members = np.flatnonzero(is_spam == value)
        fold[members] = np.arange(len(members)) % _FOLDS
    return fold


def _fit(odds: Floats, is_spam: Floats, weights: Floats) -> tuple[float, float]:
    """Scale and bias, by Newton's method; at a bound of the scale the bias is fitted to that."""
    scale, bias = _newton(odds, is_spam, weights)
    bounded = min(max(scale, SCALES[0]), SCALES[1])
    if bounded != scale:
        _, bias = _newton(odds, is_spam, weights, fixed=bounded)
    return bounded, min(max(bias, BIASES[0]), BIASES[1])


def _newton(odds: Floats, is_spam: Floats, weights: Floats, fixed: float | None = None) -> tuple[float, float]:
    """The minimum of a convex loss; ``fixed`` is a scale that must not move."""
    inputs = np.stack([odds, np.ones_like(odds)])
    precision = np.array([_SCALE_DEVIATION**-2, _BIAS_DEVIATION**-2])
    middle = np.array([1.0, 0.0])
    free = np.array([fixed is None, True])
    found = np.array([1.0 if fixed is None else fixed, 0.0])

    def loss(at: Floats) -> float:
        return float(weights @ _losses(at @ inputs, is_spam) + precision @ np.square(at - middle) / 2)

    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-(found @ inputs)))
        gradient = (inputs @ (weights * (p - is_spam)) + precision * (found - middle)) * free
        curvature = (inputs * (weights * p * (1 - p))) @ inputs.T + np.diag(precision)
        curvature = np.where(np.outer(free, free), curvature, np.diag(np.diag(curvature)))
        step = np.linalg.solve(curvature, gradient)
        size, here = 1.0, loss(found)
        while size > 1e-6 and loss(found - size * step) > here:
            size /= 2
        found = found - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    return float(found[0]), float(found[1])


def _losses(odds: Floats, is_spam: Floats) -> Floats:
    return np.asarray(np.logaddexp(0.0, np.where(is_spam > 0, -odds, odds)), np.float64)


def _error(values: Floats, weights: Floats) -> float:
    """Standard error of a weighted mean."""
    mean = weights @ values / weights.sum()
    return float(np.sqrt(np.square(weights * (values - mean)).sum()) / weights.sum())


def _figures(odds: Floats, is_spam: Floats, weights: Floats) -> Figures:
    p = 1 / (1 + np.exp(-odds))
    bins = np.minimum((p * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.abs(np.bincount(bins, weights * (p - is_spam), _BINS))
    total = weights.sum()
    return Figures(log_loss=float(weights @ _losses(odds, is_spam) / total), ece=float(gaps.sum() / total))

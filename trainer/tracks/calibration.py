"""Track G: whether a probability is what it says, and an operating point loses what it promises, on newer messages.

Calibration and operating points were made on the validation part; here they meet the test part, which is the newest
where a corpus has dates. The bundle's probabilities take both labels for equally likely and every corpus for equally
large, so they are measured twice: on the test part as it is, and on draws from it in which that holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import POINT_NAMES, BundleSpec
from trainer import calibrate
from trainer.measurement import Measurement, Table
from trainer.metrics import balanced_weights
from trainer.operating_points import BUDGETS, FULL
from trainer.prepare import Split
from trainer.reliability import brier, ece, reliability, transfer
from trainer.tracks.context import Context
from trainer.tracks.held_part import held_part

_DRAWS = 20_000
_LEAST = 50
"""Ham of a corpus from which on its own loss is told."""

_TEXT = (
    "Bundle `{id}`, test part. The first row tells of draws in which both labels are equally likely and every corpus "
    "equally large, which is what the probabilities assume; the second of the test part as it is."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Calibrated probabilities of one split."""

    probabilities: NDArray[np.float64]
    labels: NDArray[np.float32]
    names: NDArray[np.str_]

    def only(self, where: NDArray[np.bool_] | NDArray[np.int64]) -> Part:
        """Some of it, in this order."""
        return Part(probabilities=self.probabilities[where], labels=self.labels[where], names=self.names[where])

    def ham(self) -> Part:
        """The ham."""
        return self.only(self.labels < 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What an operating point loses of the test's ham, shares in [0, 1]."""

    name: str
    budget: float
    threshold: float
    counted: float
    """No corpus counting for more than 300 ham, as when the point was chosen."""
    plain: float
    """Every message counting the same."""
    worst: float
    worst_corpus: str
    safe: float
    """Loss of a threshold chosen on the validation ham by the upper end of its interval; 0 where none is safe."""

    @property
    def ratio(self) -> float:
        """Realised loss in units of the budget."""
        return self.counted / self.budget


def measure(context: Context) -> Measurement:
    """ECE, Brier, reliability and realised ham loss. Raises CorpusError and BundleError."""
    held = held_part(context)
    spec = held.model.spec
    validation, test = (
        Part(probabilities=calibrate.apply(spec.calibration, logits), labels=labels, names=names)
        for logits, labels, names in (held.measured(split) for split in (Split.VALIDATION, Split.TEST))
    )
    alike = test.only(_draws(test, context.seeds[0]))
    losses = [_loss(spec, name, validation.ham(), test.ham()) for name in POINT_NAMES]
    means, shares, _ = reliability(alike.probabilities, alike.labels)
    plot = f"reliability-{context.channel}.png"
    if context.plots is not None:
        from trainer import figures  # noqa: PLC0415  (matplotlib takes a second to import)

        figures.reliability_diagram(alike.probabilities, alike.labels, context.plots / plot)
    return Measurement(
        id=f"calibration-{context.channel}",
        title=f"Calibration, {context.channel}",
        command=context.command("calibration"),
        seeds=context.seeds[:1],
        text=(*held.caveat(), _TEXT.format(id=spec.id)),
        tables=(_by_corpus(test, alike), _transfer(losses), _bins(means, shares)),
        figures={
            "bundle": spec.id,
            "same_split": held.is_same_split,
            "ece_alike": ece(alike.probabilities, alike.labels),
            "ece": ece(test.probabilities, test.labels),
            "brier_alike": brier(alike.probabilities, alike.labels),
            "brier": brier(test.probabilities, test.labels),
            "reliability": {"mean_probability": means.tolist(), "share_of_spam": shares.tolist()},
            "points": {loss.name: _figures(loss) for loss in losses},
            "plots": [plot],
            "targets": {"18": _target(test, alike, losses)},
        },
    )


def _draws(part: Part, seed: int) -> NDArray[np.int64]:
    """Positions drawn so that both labels are equally likely, and within a label every corpus."""
    weights = np.zeros(len(part.labels))
    for spam in (False, True):
        inside = (part.labels >= 0.5) == spam
        weights[inside] = balanced_weights(part.names[inside]) / 2
    return np.random.default_rng(seed).choice(len(weights), _DRAWS, p=weights / weights.sum()).astype(np.int64)


def _loss(spec: BundleSpec, name: str, chosen_on: Part, ham: Part) -> Loss:
    threshold = spec.points[name]
    lost = (ham.probabilities >= threshold).astype(np.float64)
    corpora, inverse, sizes = np.unique(ham.names, return_inverse=True, return_counts=True)
    weights = np.minimum(sizes, FULL)[inverse] / sizes[inverse]
    own = {str(corpus): float(lost[inverse == i].mean()) for i, corpus in enumerate(corpora) if sizes[i] >= _LEAST}
    worst = max(own, key=lambda corpus: own[corpus], default="-")
    return Loss(
        name=name,
        budget=BUDGETS[name],
        threshold=threshold,
        counted=float(np.average(lost, weights=weights)),
        plain=float(lost.mean()),
        worst=own.get(worst, float("nan")),
        worst_corpus=worst,
        safe=transfer(chosen_on.probabilities, ham.probabilities, BUDGETS[name]).realised,
    )


def _by_corpus(test: Part, alike: Part) -> Table:
    rows = [_row("all, labels and corpora alike", alike, counted=False), _row("all, as they are", test, counted=True)]
    rows += [_row(str(corpus), test.only(test.names == corpus), counted=True) for corpus in np.unique(test.names)]
    return Table(
        title="Expected calibration error over 15 bins of equal mass, and Brier score.",
        columns=("corpus", "ham", "spam", "ECE %", "Brier"),
        rows=tuple(rows),
    )


def _row(name: str, part: Part, *, counted: bool) -> tuple[str, ...]:
    ham = int((part.labels < 0.5).sum())
    return (
        name,
        str(ham) if counted else "-",
        str(len(part.labels) - ham) if counted else "-",
        f"{100 * ece(part.probabilities, part.labels):.2f}",
        f"{brier(part.probabilities, part.labels):.4f}",
    )


def _transfer(losses: list[Loss]) -> Table:
    rows = tuple(
        (
            loss.name,
            f"{100 * loss.budget:.1f}",
            f"{loss.threshold:.4f}",
            f"{100 * loss.counted:.2f}",
            f"{loss.ratio:.2f}",
            f"{100 * loss.plain:.2f}",
            f"{100 * loss.worst:.2f} ({loss.worst_corpus})",
            f"{100 * loss.safe:.2f}",
        )
        for loss in losses
    )
    return Table(
        title=f"Ham lost by the operating points: no corpus counting for more than {FULL} ham, and its ratio to the "
        "budget; every message alike; the worst corpus; and, for a threshold that keeps the budget on the validation "
        "part even at the upper end of its 95 % interval.",
        columns=(
            "point",
            "budget %",
            "threshold",
            "lost %",
            "ratio",
            "lost %, alike",
            "worst corpus %",
            "safe, lost %",
        ),
        rows=rows,
    )


def _bins(means: NDArray[np.float64], shares: NDArray[np.float64]) -> Table:
    rows = tuple((f"{mean:.4f}", f"{share:.4f}") for mean, share in zip(means, shares, strict=True))
    return Table(
        title="Reliability, labels and corpora alike.", columns=("mean probability", "share of spam"), rows=rows
    )


def _figures(loss: Loss) -> Mapping[str, Any]:
    return {
        "budget": loss.budget,
        "threshold": loss.threshold,
        "lost": loss.counted,
        "lost_plain": loss.plain,
        "ratio": loss.ratio,
        "worst": None if np.isnan(loss.worst) else loss.worst,
        "worst_corpus": loss.worst_corpus,
    }


def _target(test: Part, alike: Part, losses: list[Loss]) -> str:
    ratios = ", ".join(f"{loss.name} {loss.ratio:.1f} x" for loss in losses)
    as_assumed, as_is = (100 * ece(part.probabilities, part.labels) for part in (alike, test))
    return f"ECE {as_assumed:.1f} % alike, {as_is:.1f} % as they are; ham loss in budgets: {ratios}"

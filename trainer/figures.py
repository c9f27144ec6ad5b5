"""Pictures of the evaluation as small PNG files: ROC, reliability, learning curve, scores. Agg, no display."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from trainer.metrics import Floats
from trainer.reliability import reliability

_DPI = 70
_SIZE = (5.0, 3.6)
_LEAST_RATE = 1e-4
"""Left end of the ROC's axis: one ham in ten thousand."""


def roc(scores: Mapping[str, tuple[Floats, Floats]], path: Path) -> Path:
    """Spam caught over ham lost, the latter on a logarithmic axis; ``name -> (scores of ham, scores of spam)``."""
    figure, axes = _axes("ham lost, share", "spam caught, share")
    for name, (ham, spam) in scores.items():
        if len(ham) and len(spam):
            lost, caught = roc_points(ham, spam)
            axes.plot(np.maximum(lost, _LEAST_RATE), caught, label=name, drawstyle="steps-post")
    axes.set_xscale("log")
    axes.set_xlim(_LEAST_RATE, 1)
    axes.set_ylim(0, 1.01)
    return _saved(figure, path)


def roc_points(ham: Floats, spam: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of ham and of spam at or above every score that occurs, highest first, and (0, 0) before them."""
    cuts = np.unique(np.concatenate([ham, spam]))[::-1]
    lost = 1 - np.searchsorted(np.sort(ham), cuts, "left") / len(ham)
    caught = 1 - np.searchsorted(np.sort(spam), cuts, "left") / len(spam)
    return np.concatenate([[0.0], lost]), np.concatenate([[0.0], caught])


def reliability_diagram(probabilities: Floats, labels: Floats, path: Path) -> Path:
    """Share of spam over mean probability, in bins of equal mass."""
    means, shares, _ = reliability(probabilities, labels)
    figure, axes = _axes("mean probability of a bin", "share of spam in it")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, label="as promised")
    axes.plot(means, shares, marker="o", markersize=3, label="measured")
    return _saved(figure, path)


def learning_curve(curves: Mapping[str, tuple[NDArray[np.int64], Floats]], path: Path) -> Path:
    """1-ROCA of everything so far over messages, both axes logarithmic; ``name -> (messages, per cent)``."""
    figure, axes = _axes("messages", "1-ROCA so far, %")
    for name, (messages, areas) in curves.items():
        known = ~np.isnan(areas)  # while a label is missing there is no area
        axes.plot(messages[known], np.maximum(areas[known], 1e-3), label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    return _saved(figure, path)


def score_histogram(ham: Floats, spam: Floats, path: Path) -> Path:
    """How many ham and spam lie at each score, the count on a logarithmic axis."""
    figure, axes = _axes("logit", "messages")
    together = np.concatenate([ham, spam])
    edges = np.linspace(together.min(), together.max() + 1e-9, 41)
    for name, scores in (("ham", ham), ("spam", spam)):
        axes.hist(scores, edges.tolist(), alpha=0.6, label=name)
    axes.set_yscale("symlog")
    return _saved(figure, path)


def _axes(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _saved(figure: Figure, path: Path) -> Path:
    figure.axes[0].legend(fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the library's version in it, equal figures are equal files.
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    return path

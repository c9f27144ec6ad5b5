"""Learning curves as PNG files, for the run folder and for a recipe's."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from trainer.checkpoint import History


def learning_curves(history: History, path: Path) -> None:
    """Loss and accuracy of training and validation, and the guarded figure, by epoch."""
    path.write_bytes(curves_png(history, dpi=110))


def curves_png(history: History, *, dpi: int) -> bytes:
    """Loss and accuracy of training and validation by epoch, and the guarded figure where one was measured."""
    mpl.use("Agg")
    panels = 3 if history.spam_missed else 2
    figure = Figure(figsize=(3.7 * panels, 3.6), layout="constrained")
    axes = figure.subplots(1, panels)
    epochs = range(1, len(history.loss) + 1)
    marker = "o" if len(history.loss) == 1 else None  # one point makes no line
    axes[0].plot(epochs, history.loss, label="training", marker=marker)
    axes[0].plot(epochs, history.validation_loss, label="validation", marker=marker)
    axes[1].plot(epochs, history.accuracy, label="training", marker=marker)
    axes[1].plot(epochs, history.validation_accuracy, label="validation", marker=marker)
    if history.spam_missed:
        axes[2].plot(epochs, [100 * missed for missed in history.spam_missed], label="validation", marker=marker)
    titles = ("loss", "accuracy", "spam missed at 0.5 % ham loss, %")
    for each, title in zip(axes, titles[:panels], strict=True):
        each.set_title(title)
        each.set_xlabel("epoch")
        each.legend()
    out = io.BytesIO()
    figure.savefig(out, dpi=dpi, format="png")
    return out.getvalue()

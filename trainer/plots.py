"""Learning curves as PNG files, for the run folder; nothing here ships."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from trainer.train import History


def learning_curves(history: History, path: Path) -> None:
    """Loss and accuracy of training and validation, and the guarded figure, by epoch."""
    mpl.use("Agg")
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    loss, accuracy, guarded = figure.subplots(1, 3)
    epochs = range(1, len(history.loss) + 1)
    loss.plot(epochs, history.loss, label="training")
    loss.plot(epochs, history.validation_loss, label="validation")
    accuracy.plot(epochs, history.accuracy, label="training")
    accuracy.plot(epochs, history.validation_accuracy, label="validation")
    guarded.plot(epochs, [100 * missed for missed in history.spam_missed], label="validation")
    titles = ("loss", "accuracy", "spam missed at 0.5 % ham loss, %")
    for axes, title in zip((loss, accuracy, guarded), titles, strict=True):
        axes.set_title(title)
        axes.set_xlabel("epoch")
        axes.legend()
    figure.savefig(path, dpi=110)

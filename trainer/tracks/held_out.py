"""The bundle on its own test part: per corpus and operating point what is caught and lost, ROC and scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from filterd.core.bundle import POINT_NAMES
from trainer import evaluate
from trainer.evaluate import share
from trainer.measurement import Measurement, Table
from trainer.prepare import Split
from trainer.tracks.context import Context
from trainer.tracks.held_part import held_part

_TEXT = "Bundle `{id}`, made {created} from commit `{commit}`; thresholds {points}."


def measure(context: Context) -> Measurement:
    """Counts at every operating point, and 1-ROCA. Raises CorpusError and BundleError."""
    held = held_part(context)
    spec = held.model.spec
    logits, labels, names = held.measured(Split.TEST)
    rows = evaluate.table(spec, logits, labels, names)
    plots = (f"roc-{context.channel}.png", f"scores-{context.channel}.png")
    if context.plots is not None:
        from trainer import figures  # noqa: PLC0415  (matplotlib takes a second to import)

        spam = labels >= 0.5
        parts = {name: names == name for name in np.unique(names)}
        curves = {str(name): (logits[inside & ~spam], logits[inside & spam]) for name, inside in parts.items()}
        both = {name: pair for name, pair in curves.items() if len(pair[0]) and len(pair[1])}
        figures.roc(both, context.plots / plots[0])
        figures.score_histogram(logits[~spam], logits[spam], context.plots / plots[1])
    points = ", ".join(f"`{name}` {spec.points[name]:.4f}" for name in POINT_NAMES)
    text = _TEXT.format(id=spec.id, created=spec.created_at[:10], commit=spec.commit, points=points)
    return Measurement(
        id=f"held-out-{context.channel}",
        title=f"Held out, {context.channel}",
        command=context.command("held-out"),
        text=(*held.caveat(), text),
        tables=(table_of(rows),),
        figures={"bundle": spec.id, "same_split": held.is_same_split, "rows": rows, "plots": list(plots)},
    )


def table_of(rows: list[dict[str, Any]]) -> Table:
    """The rows of ``evaluate.table``, as they are printed."""
    return Table(
        columns=("corpus", "ham", "spam", *(f"`{name}`: caught, ham lost" for name in POINT_NAMES), "1-ROCA %"),
        rows=tuple(
            (
                row["corpus"],
                str(row["ham"]),
                str(row["spam"]),
                *(_pair(row["points"][name]) for name in POINT_NAMES),
                "-" if row["one_minus_roca_percent"] is None else f"{row['one_minus_roca_percent']:.2f}",
            )
            for row in rows
        ),
    )


def _pair(counts: Mapping[str, int]) -> str:
    return f"{share(counts['spam_caught'], counts['spam'])}, {share(counts['ham_lost'], counts['ham'])}"

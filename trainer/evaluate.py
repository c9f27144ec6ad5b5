"""Scores examples with a bundle, one message at a time as the daemon does, and counts per corpus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import POINT_NAMES, BundleSpec
from filterd.inference.loaded import LoadedModel
from trainer import calibrate
from trainer.features import Encoded
from trainer.metrics import one_minus_roca, rates, upper_bound


def logits(model: LoadedModel, encoded: Encoded) -> NDArray[np.float64]:
    """float64[N]: logits by the daemon's own code."""
    return np.array([model.score(encoded.tokens_of(i)) for i in range(len(encoded))], np.float64)


def table(
    spec: BundleSpec, logits_: NDArray[np.floating], labels: NDArray[np.floating], corpora: NDArray[np.str_]
) -> list[dict[str, Any]]:
    """One row per corpus: counts, 1-ROCA, and at each operating point spam caught and ham lost with its upper bound."""
    probabilities = calibrate.apply(spec.calibration, logits_)
    rows = []
    for corpus in np.unique(corpora):
        inside = corpora == corpus
        p, truth = probabilities[inside], labels[inside]
        roca = one_minus_roca(logits_[inside][truth < 0.5], logits_[inside][truth >= 0.5])
        points: dict[str, Any] = {}
        for name in POINT_NAMES:
            counts = rates(p, truth, spec.points[name])
            points[name] = {**counts, "ham_loss_bound": round(upper_bound(counts["ham_lost"], counts["ham"]), 5)}
        rows.append(
            {
                "corpus": str(corpus),
                "ham": int((truth < 0.5).sum()),
                "spam": int((truth >= 0.5).sum()),
                "one_minus_roca_percent": None if np.isnan(roca) else round(roca, 4),
                "points": points,
            }
        )
    return rows


def lines(rows: Sequence[Mapping[str, Any]], point: str) -> list[str]:
    """The table as Markdown, at one operating point."""
    out = [
        f"| corpus | ham | spam | spam caught at `{point}` | ham lost at `{point}` | 1-ROCA % |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        counts = row["points"][point]
        roca = row["one_minus_roca_percent"]
        out.append(
            f"| {row['corpus']} | {row['ham']} | {row['spam']} | {share(counts['spam_caught'], counts['spam'])}"
            f" | {share(counts['ham_lost'], counts['ham'])} | {'-' if roca is None else f'{roca:.2f}'} |"
        )
    return out


def share(part: int, whole: int) -> str:
    """``93.1 % (122)``, or a dash when there is nothing to count."""
    return f"{100 * part / whole:.1f} % ({part})" if whole else "-"

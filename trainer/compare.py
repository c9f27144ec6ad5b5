"""A bundle's figures on its own test part, alone and beside bogofilter trained on the same split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filterd.core.message import ParseLimits
from filterd.inference.loaded import LoadedModel
from trainer import calibrate, evaluate
from trainer.baselines import BOGOFILTER_CUT, bogofilter_scores, find_bogofilter
from trainer.config import TrainConfig
from trainer.corpora import prepare
from trainer.evaluate import share
from trainer.metrics import one_minus_roca, rates, weighted_threshold
from trainer.prepare import Split


def held_out_table(bundle: Path, config: TrainConfig, data: Path, *, jobs: int) -> list[dict[str, Any]]:
    """Rows of ``evaluate.table`` on the test part. Raises CorpusError."""
    model = LoadedModel.open(bundle, ParseLimits())
    spec = model.spec
    encoded, labels, names = prepare(config, data, jobs, _silent, spec.hashing).part(Split.TEST)
    return evaluate.table(spec, evaluate.logits(model, encoded), labels, names)


def beside_bogofilter(
    bundle: Path, config: TrainConfig, data: Path, environ: Mapping[str, str], *, jobs: int
) -> list[str]:
    """A Markdown table per corpus: ours at ``normal``, bogofilter at its own cut and at our ham loss.

    Both have seen the same training examples, bogofilter whole messages with every header. Raises TrainerError.
    """
    program = find_bogofilter(environ)
    model = LoadedModel.open(bundle, ParseLimits())
    spec = model.spec
    prepared = prepare(config, data, jobs, _silent, spec.hashing)
    encoded, labels, names = prepared.part(Split.TEST)
    ours = calibrate.apply(spec.calibration, evaluate.logits(model, encoded))
    examples = prepared.corpus.examples
    theirs = bogofilter_scores(
        program,
        [examples[i] for i in prepared.corpus.where(Split.TRAIN)],
        [examples[i] for i in prepared.corpus.where(Split.TEST)],
    )
    out = [
        "| corpus | ham | spam | ours: caught, ham lost | bogofilter: the same | at our ham loss | 1-ROCA %: both |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for corpus in (*np.unique(names), "all"):
        inside = (names == corpus) | (corpus == "all")
        out.append(_row(str(corpus), ours[inside], theirs[inside], labels[inside], spec.points["normal"]))
    return out


def _row(
    corpus: str, ours: NDArray[np.float64], theirs: NDArray[np.float64], labels: NDArray[np.float32], normal: float
) -> str:
    mine, default = rates(ours, labels, normal), rates(theirs, labels, BOGOFILTER_CUT)
    ham = labels < 0.5
    matched = "-"
    if ham.any() and not ham.all():
        cut = weighted_threshold(theirs[ham], np.ones(int(ham.sum())), mine["ham_lost"] / mine["ham"])
        counts = rates(theirs, labels, cut)
        matched = share(counts["spam_caught"], counts["spam"])
    roca = [one_minus_roca(scores[ham], scores[~ham]) for scores in (ours, theirs)]
    areas = "-" if np.isnan(roca[0]) else f"{roca[0]:.2f}, {roca[1]:.2f}"
    return f"| {corpus} | {mine['ham']} | {mine['spam']} | {_pair(mine)} | {_pair(default)} | {matched} | {areas} |"


def _pair(counts: Mapping[str, int]) -> str:
    return f"{share(counts['spam_caught'], counts['spam'])}, {share(counts['ham_lost'], counts['ham'])}"


def _silent(_: str) -> None:
    pass

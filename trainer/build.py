"""The line from corpora to a bundle: read, cluster and split, encode, train, export, calibrate, choose, publish."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from filterd.core.bundle import BundleSpec, Probe, probes_to_jsonl
from filterd.core.message import ParseLimits
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from filterd.inference.loaded import LoadedModel
from trainer import card, evaluate, plots, probes, publish
from trainer.config import TrainConfig
from trainer.corpora import Prepared, Say, prepare
from trainer.errors import ExportParityError
from trainer.feedback import Divided
from trainer.fit import Fitted, fit_parts, measured_part, prepared_part
from trainer.measurement import checkout
from trainer.prepare import Split
from trainer.teach import with_feedback
from trainer.train import Progress

_TOOLS = ("tensorflow-cpu", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy")


def build(
    config: TrainConfig,
    data: Path,
    out: Path,
    *,
    jobs: int,
    progress: Progress,
    say: Say,
    checkpoint: Path | None = None,
) -> Path:
    """Train a model and publish its bundle as a folder in ``out``. Raises TrainerError."""
    prepared = prepare(config, data, jobs, say, DEFAULT_HASHING[config.channel])
    return build_prepared(config, prepared, out, jobs=jobs, progress=progress, say=say, checkpoint=checkpoint)


def build_prepared(
    config: TrainConfig,
    prepared: Prepared,
    out: Path,
    *,
    jobs: int,
    progress: Progress,
    say: Say,
    checkpoint: Path | None = None,
    taught: Divided | None = None,
) -> Path:
    """The same from corpora that are read already; ``taught`` are labels of people beside them. Raises TrainerError."""
    started = datetime.now(UTC)
    train_part = prepared_part(config, prepared, jobs=jobs)
    lineage: tuple[tuple[int, int], ...] = ()
    if taught is not None and taught.taught:
        train_part, lineage = with_feedback(train_part, taught), taught.lineage
    fitted = fit_parts(config, train_part, measured_part(*prepared.part(Split.VALIDATION)), progress, checkpoint)
    shares = fitted.trained.blend
    say(f"best epoch {fitted.trained.best_epoch}; deep path x {shares.deep:.2f}, linear path x {shares.linear:.2f}")
    say(f"{len(fitted.graph) / 1e6:.1f} MB, largest difference to Keras {fitted.parity:.1e}")
    return _publish(config, prepared, fitted, out, started, lineage, say)


def _publish(
    config: TrainConfig,
    prepared: Prepared,
    fitted: Fitted,
    out: Path,
    started: datetime,
    lineage: tuple[tuple[int, int], ...],
    say: Say,
) -> Path:
    graph = fitted.graph
    if len(graph) > publish.MAX_MODEL_BYTES:
        raise ExportParityError(f"the graph has {len(graph)} bytes, at most {publish.MAX_MODEL_BYTES} ship")
    created = started.isoformat(timespec="seconds")
    manifest = prepared.corpus.manifest()
    spec = replace(
        fitted.model.spec,
        id=publish.bundle_id(config.channel, created, graph),
        created_at=created,
        corpus=str(json.loads(manifest)["sha256"]),
        commit=checkout(),
        tools=MappingProxyType({name: version(name) for name in _TOOLS}),
        lineage=lineage,
    )
    report = _report(spec, config, prepared, fitted)
    folder = out / f"run-{config.channel}-{started:%Y%m%dT%H%M%S}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(manifest, encoding="utf-8")
    plots.learning_curves(fitted.trained.history, folder / "curves.png")
    for line in evaluate.lines(report["rows"], "normal"):
        say(line)
    files = publish.contents(
        graph,
        probes_to_jsonl(_probes(fitted.model)),
        json.dumps(report, indent=1, sort_keys=True) + "\n",
        card.render(spec, config, report, prepared.sources),
    )
    return publish.write_bundle(out, spec, files, verify=lambda draft: LoadedModel.open(draft, ParseLimits()))


def _report(spec: BundleSpec, config: TrainConfig, prepared: Prepared, fitted: Fitted) -> dict[str, Any]:
    encoded, labels, names = prepared.part(Split.TEST)
    where = prepared.corpus.where(Split.VALIDATION)
    truth, corpora = prepared.labels[where], prepared.names[where]
    return {
        "id": spec.id,
        "commit": spec.commit,
        "created_at": spec.created_at,
        "seed": config.seed,
        "config": asdict(config.model),
        "split": "test: newest part, or clusters or sources that training never saw",
        "rows": evaluate.table(spec, evaluate.logits(fitted.model, encoded), labels, names),
        "validation_rows": evaluate.table(spec, fitted.validation_logits, truth, corpora),
        "best_epoch": fitted.trained.best_epoch,
        "blend": asdict(fitted.trained.blend),
        "penalty": asdict(fitted.trained.path.penalty),
        "history": asdict(fitted.trained.history),
        "parity": fitted.parity,
        "unscannable": prepared.unscannable,
    }


def _probes(model: LoadedModel) -> tuple[Probe, ...]:
    extractor = Extractor(model.spec.channel, model.spec.hashing, ParseLimits())
    return tuple(
        Probe(raw=text, logit=model.score(extractor(text.encode("latin-1")).tokens))
        for text in probes.texts(model.spec.channel)
    )

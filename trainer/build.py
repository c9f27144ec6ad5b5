"""The line from corpora to a bundle: read, cluster and split, encode, train, export, calibrate, choose, publish."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filterd.core.bundle import Bundle, BundleSpec, Calibration, Hashing, Probe, probes_to_jsonl
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from filterd.inference.loaded import LoadedModel
from trainer import calibrate, card, evaluate, operating_points, plots, probes, publish
from trainer.config import TrainConfig
from trainer.corpora import Prepared, Say, prepare
from trainer.errors import ExportParityError
from trainer.export import check_parity, to_onnx
from trainer.features import Encoded, encode, flattened, stack
from trainer.input_pipeline import draw_weights, labels_of
from trainer.measurement import checkout
from trainer.metrics import balanced_weights
from trainer.model import WideDeep
from trainer.prepare import Split
from trainer.train import Part, Progress, Trained, train

_PARITY_BATCH = 16
_TOOLS = ("tensorflow-cpu", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy")


def build(config: TrainConfig, data: Path, out: Path, *, jobs: int, progress: Progress, say: Say) -> Path:
    """Train a model and publish its bundle as a folder in ``out``. Raises TrainerError."""
    started = datetime.now(UTC)
    prepared = prepare(config, data, jobs, say, DEFAULT_HASHING[config.channel])
    trained = train(config, _training_part(config, prepared, jobs), _validation_part(prepared), progress)
    folder = out / f"run-{config.channel}-{started:%Y%m%dT%H%M%S}"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "weights.npz", *trained.model.get_weights())
    trained.model.round_embedding()
    say(f"best epoch {trained.best_epoch}; exporting")
    graph = to_onnx(trained.model.serving(), trained.model.signature(), recurrent_layers=1)
    parity = check_parity(graph, *_parity_cases(trained.model, prepared.encoded))
    say(f"{len(graph) / 1e6:.1f} MB, largest difference to Keras {parity:.1e}")
    return _publish(config, prepared, trained, graph, out, folder, started, parity, say)


def _training_part(config: TrainConfig, prepared: Prepared, jobs: int) -> Part:
    where = prepared.corpus.where(Split.TRAIN)
    examples = [prepared.corpus.examples[i] for i in where]
    clusters = prepared.corpus.clusters[where]
    extra = flattened(examples, config.flatten_share) if config.channel is Channel.SMS else ()
    position = {(e.corpus, e.id): i for i, e in enumerate(examples)}
    origin = [position[e.corpus, e.id.removesuffix("~flat")] for e in extra]
    everything = [*examples, *extra]
    clusters = np.concatenate([clusters, clusters[np.array(origin, np.int64)]])
    return Part(
        encoded=encode(everything, prepared.encoded.hashing, training=True, jobs=jobs).encoded,
        labels=labels_of(everything),
        corpora=np.array([e.corpus for e in everything]),
        weights=draw_weights(everything, clusters),
    )


def _validation_part(prepared: Prepared) -> Part:
    encoded, labels, names = prepared.part(Split.VALIDATION)
    return Part(encoded=encoded, labels=labels, corpora=names, weights=_balanced(labels, names))


def _balanced(labels: NDArray[np.float32], names: NDArray[np.str_]) -> NDArray[np.float64]:
    """Both labels count the same, and within a label every corpus."""
    weights = np.zeros(len(labels))
    for spam in (False, True):
        inside = (labels > 0.5) == spam
        weights[inside] = balanced_weights(names[inside]) / 2
    return weights


def _parity_cases(model: WideDeep, encoded: Encoded) -> tuple[list[dict[str, Any]], list[NDArray[np.float32]]]:
    """Batches of real and random messages over all lengths, with Keras's logits."""
    order = np.argsort(encoded.lengths(), kind="stable")
    spread = order[np.linspace(0, len(order) - 1, 5 * _PARITY_BATCH).astype(np.int64)]
    made = _random_messages(encoded.hashing)
    feeds = [encoded.feeds(spread[start::5]) for start in range(5)]
    feeds += [made.feeds(np.arange(start, len(made), 4, dtype=np.int64)) for start in range(4)]
    return feeds, [np.asarray(model(each), np.float32) for each in feeds]


def _random_messages(hashing: Hashing) -> Encoded:
    """One message of each of many lengths from 1 to the longest, the first and the last dozen all there."""
    rng = np.random.default_rng(hashing.seed)
    top = hashing.max_tokens
    lengths = sorted({*range(1, 13), *range(13, top, max(1, top // 40)), *range(max(1, top - 12), top + 1)})
    return stack(
        (
            (
                rng.integers(1, hashing.token_buckets, (length, hashing.grams), np.int32),
                rng.integers(1, hashing.wide_buckets, min(length, hashing.max_wide), np.int32),
                rng.normal(size=len(hashing.side)).astype(np.float32),
            )
            for length in lengths
        ),
        hashing,
    )


def _publish(
    config: TrainConfig,
    prepared: Prepared,
    trained: Trained,
    graph: bytes,
    out: Path,
    folder: Path,
    started: datetime,
    parity: float,
    say: Say,
) -> Path:
    if len(graph) > publish.MAX_MODEL_BYTES:
        raise ExportParityError(f"the graph has {len(graph)} bytes, at most {publish.MAX_MODEL_BYTES} ship")
    encoded, labels, names = prepared.part(Split.VALIDATION)
    unset = BundleSpec(
        id="unset",
        channel=config.channel,
        hashing=encoded.hashing,
        calibration=Calibration(),
        points=MappingProxyType({}),
        created_at="",
    )
    model = LoadedModel(Bundle(spec=unset, model=graph, probes=()))
    logits = evaluate.logits(model, encoded)
    calibration = calibrate.fit(logits, labels, _balanced(labels, names))
    points = operating_points.choose(calibrate.apply(calibration, logits), labels, names)
    created = started.isoformat(timespec="seconds")
    manifest = prepared.corpus.manifest()
    spec = BundleSpec(
        id=publish.bundle_id(config.channel, created, graph),
        channel=config.channel,
        hashing=prepared.encoded.hashing,
        calibration=calibration,
        points=points,
        created_at=created,
        corpus=str(json.loads(manifest)["sha256"]),
        commit=checkout(),
        tools=MappingProxyType({name: version(name) for name in _TOOLS}),
    )
    report = _report(spec, config, prepared, trained, model, parity)
    (folder / "manifest.json").write_text(manifest, encoding="utf-8")
    plots.learning_curves(trained.history, folder / "curves.png")
    for line in evaluate.lines(report["rows"], "normal"):
        say(line)
    files = publish.contents(
        graph,
        probes_to_jsonl(_probes(model)),
        json.dumps(report, indent=1, sort_keys=True) + "\n",
        card.render(spec, config, report),
    )
    return publish.write_bundle(out, spec, files, verify=lambda draft: LoadedModel.open(draft, ParseLimits()))


def _report(
    spec: BundleSpec, config: TrainConfig, prepared: Prepared, trained: Trained, model: LoadedModel, parity: float
) -> dict[str, Any]:
    encoded, labels, names = prepared.part(Split.TEST)
    validation, truth, corpora = prepared.part(Split.VALIDATION)
    return {
        "id": spec.id,
        "commit": spec.commit,
        "created_at": spec.created_at,
        "seed": config.seed,
        "config": asdict(config.model),
        "split": "test: newest part, or clusters or sources that training never saw",
        "rows": evaluate.table(spec, evaluate.logits(model, encoded), labels, names),
        "validation_rows": evaluate.table(spec, evaluate.logits(model, validation), truth, corpora),
        "best_epoch": trained.best_epoch,
        "history": asdict(trained.history),
        "parity": parity,
        "unscannable": prepared.unscannable,
    }


def _probes(model: LoadedModel) -> tuple[Probe, ...]:
    extractor = Extractor(model.spec.channel, model.spec.hashing, ParseLimits())
    return tuple(
        Probe(raw=text, logit=model.score(extractor(text.encode("latin-1")).tokens))
        for text in probes.texts(model.spec.channel)
    )

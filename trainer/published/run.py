"""The line of a recipe: read, divide, train, export, score through ONNX Runtime, write a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer import plots
from trainer.manifest import RECIPE_FILE, sha256
from trainer.measurement import Measurement, checkout
from trainer.publish import write_folder
from trainer.published import card, network, protocol
from trainer.published.config import SequenceConfig, quick
from trainer.published.export import Exported, export
from trainer.published.fit import Fitted, Rows, fit
from trainer.published.protocol import Division
from trainer.published.served import (
    CARD_FILE,
    CURVES_FILE,
    LABELS_FILE,
    MODEL_FILE,
    REPORT_FILE,
    TOKENIZER_FILE,
    Served,
    Session,
    labels_json,
)
from trainer.published.texts import Texts, read
from trainer.published.tokenizer import Tokenizer, padded
from trainer.recipe import Recipe
from trainer.train import Progress

_TOOLS = ("tensorflow-cpu", "keras", "tf2onnx", "onnx", "onnxruntime", "numpy")
_LONGER = 3
"""How many times longer the neighbour of a text is in the check that padding changes nothing."""
_CURVES_DPI = 60
"""Keeps a picture below 40 kB."""

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a recipe left."""

    folder: Path
    measurement: Measurement
    curves: bytes = b""
    """PNG; empty where nothing is learnt."""

    def record(self, folder: Path) -> None:
        """Keep the measurement in ``folder`` and the picture in ``folder / curves``."""
        self.measurement.write(folder)
        if self.curves:
            name = self.measurement.id.removeprefix(card.PREFIX)
            (folder / "curves").mkdir(exist_ok=True)
            (folder / "curves" / f"{name}.png").write_bytes(self.curves)


@dataclass(frozen=True, slots=True, kw_only=True)
class _System:
    """A trained and exported network with its tokenizer."""

    fitted: Fitted
    exported: Exported
    tokenizer: Tokenizer
    served: Served


def run(
    recipe: Recipe, data: Path, out: Path, *, is_fast: bool, seed: int | None, progress: Progress, say: Say
) -> Outcome:
    """Train, measure and write ``out / id``. Raises TrainerError, and then nothing is left in ``out``."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    config = recipe.into(SequenceConfig)
    config = config if seed is None else replace(config, fit=replace(config.fit, seed=seed))
    config = quick(config) if is_fast else config
    texts = read(config.corpus, data, config.sample)
    division = protocol.published(texts, config)
    say(f"{len(texts)} rows, {len(division.train)} to train on, {len(division.test)} for the test")
    system = _train(config, texts, division, progress)
    measured = _measure(config, texts, division, system, progress, say)
    graph = system.exported.graph
    stamp = "".join(c for c in started[:19] if c not in "-:")
    report = {
        "id": f"{recipe.name}-{stamp}-{sha256(graph)[:8]}",
        "recipe": recipe.name,
        "created_at": started,
        "commit": checkout(),
        "is_fast": is_fast,
        "seed": config.fit.seed,
        "classes": texts.classes,
        "threshold": system.served.threshold,
        "train_rows": len(division.train),
        "epochs": config.fit.epochs,
        **measured,
    }
    curves = plots.curves_png(system.fitted.history, dpi=_CURVES_DPI)
    folder = _write(out, recipe, config, report, system, curves)
    return Outcome(folder=folder, measurement=card.measurement(recipe.name, config, report), curves=curves)


def _train(config: SequenceConfig, texts: Texts, division: Division, progress: Progress) -> _System:
    tokenizer = Tokenizer.fit(texts.at(division.train), config.text)
    train, test = (
        Rows(ids=tokenizer.ids(texts.at(rows)), labels=texts.labels[rows])
        for rows in (division.train, division.test[: config.fit.validation_rows or None])
    )
    fitted = fit(config, tokenizer.size, train, test, progress)
    exported = export(fitted.model, config, tokenizer.size)
    session = Session(exported.graph)
    served = Served(tokenizer=tokenizer, session=session, classes=texts.classes)
    return _System(fitted=fitted, exported=exported, tokenizer=tokenizer, served=served)


def _measure(
    config: SequenceConfig, texts: Texts, theirs: Division, system: _System, progress: Progress, say: Say
) -> dict[str, Any]:
    """Everything in the report that was measured."""
    on_train = system.served.predict(texts.at(theirs.train))
    on_test = system.served.predict(texts.at(theirs.test))
    parts = [
        _part("training part, published protocol", "training accuracy", config, texts, theirs.train, on_train),
        _part("test part, published protocol", "test accuracy", config, texts, theirs.test, on_test),
    ]
    say(f"accuracy {parts[0]['accuracy']:.4f} on the training part, {parts[1]['accuracy']:.4f} on the test part")
    ours = protocol.held_out(texts, protocol.clusters_of(texts), config)
    if config.protocol.test_share:
        held = _train(config, texts, ours, progress).served.predict(texts.at(ours.test))
        parts.append(_part("held-out clusters, each once", "", config, texts, ours.test, held))
    else:
        held = on_test[np.searchsorted(theirs.test, ours.test)]
        parts.append(_part("test part without repeats of training", "", config, texts, ours.test, held))
    say(f"accuracy {parts[2]['accuracy']:.4f} on {parts[2]['part']}")
    text = config.protocol.new_text
    return {
        "parts": parts,
        "leak": protocol.leak(texts, theirs, on_test) if config.protocol.test_share else {},
        "parity": system.exported.parity,
        "operators": dict(system.exported.operators),
        "vocabulary": system.tokenizer.size,
        "train_seconds": system.fitted.seconds,
        "history": {key: value for key, value in asdict(system.fitted.history).items() if value},
        "padding_difference": padding_difference(system.served, system.fitted.model, config, texts.texts[0]),
        "new_text": text,
        "new_probability": float(system.served.predict([text])[0]) if text else None,
    }


def _part(
    name: str, kind: str, config: SequenceConfig, texts: Texts, rows: NDArray[np.int64], found: NDArray[np.float64]
) -> dict[str, Any]:
    measured = protocol.figures(found, texts.labels[rows], 0.5)
    return {"part": name, "published": config.protocol.published.get(kind), **measured}


def padding_difference(served: Served, model: Any, config: SequenceConfig, text: str) -> float | None:
    """Largest difference of a text's output alone and beside a longer one, in Keras and in ONNX; None if not masked."""
    if not config.text.is_masked:
        return None
    both = [text, " ".join([text] * _LONGER)]
    alone, together = served.outputs_together(both[:1])[0], served.outputs_together(both)[0]
    rows = served.tokenizer.ids(both)
    head, side = config.network.head, config.text.padding
    in_keras = network.outputs(model, head, padded(rows[:1], max(1, len(rows[0])), side))[0]
    beside = network.outputs(model, head, padded(rows, max(1, *(len(row) for row in rows)), side))[0]
    return float(max(np.abs(alone - together).max(), np.abs(in_keras - beside).max()))


def _write(
    out: Path, recipe: Recipe, config: SequenceConfig, report: Mapping[str, Any], system: _System, curves: bytes
) -> Path:
    files = {
        MODEL_FILE: system.exported.graph,
        TOKENIZER_FILE: system.tokenizer.to_json().encode(),
        LABELS_FILE: labels_json(system.served.session, system.served.classes, system.served.threshold),
        REPORT_FILE: (json.dumps(report, indent=1, sort_keys=True) + "\n").encode(),
        CARD_FILE: card.render(config, report).encode(),
        CURVES_FILE: curves,
    }
    folder = out / str(report["id"])
    manifest = manifest_json(report, files, config=recipe.path.read_text(encoding="utf-8"))
    return write_folder(folder, {**files, RECIPE_FILE: manifest}, verify=Served.open)


def manifest_json(report: Mapping[str, Any], files: Mapping[str, bytes], *, config: str) -> bytes:
    """``recipe.json``: id, the recipe as it was written, provenance, and the checksum of every other file."""
    tree = {
        **{key: report[key] for key in ("id", "recipe", "created_at", "commit", "seed", "is_fast")},
        "toml": config,
        "tools": {name: version(name) for name in _TOOLS},
        "files": {name: sha256(content) for name, content in files.items()},
    }
    return (json.dumps(tree, indent=1, sort_keys=True) + "\n").encode()

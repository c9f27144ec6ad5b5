"""A recurrent cell written out step by step with plain tensors: equal to Keras's SimpleRNN and to its ONNX export.

``Y0 = act(X0 Wx + b)``, ``Y1 = act(Y0 Wh + X1 Wx + b)``, and so on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
from numpy.typing import NDArray

from trainer.errors import ExportParityError
from trainer.export import PARITY, recurrence, recurrent_weights, to_onnx
from trainer.manifest import RECIPE_FILE, sha256
from trainer.measurement import Measurement, Table, checkout
from trainer.publish import write_folder
from trainer.published.card import PREFIX
from trainer.published.config import Activation
from trainer.published.run import Outcome, Say, manifest_json
from trainer.published.served import CARD_FILE, MODEL_FILE, REPORT_FILE, Session
from trainer.recipe import Recipe

_STATES = "states"

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrolledConfig:
    """A cell and what it reads."""

    title: str
    units: int
    activation: Activation
    steps: tuple[tuple[tuple[float, ...], ...], ...]
    """Step -> example -> input."""
    seed: int = 7

    def __post_init__(self) -> None:
        sizes = {(len(step), *{len(row) for row in step}) for step in self.steps}
        if len(sizes) != 1 or len(next(iter(sizes))) != 2:
            raise ValueError("steps must all be tables of one size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Weights of a SimpleRNN: kernel float32[I, U], recurrent float32[U, U], bias float32[U]."""

    kernel: Floats
    recurrent: Floats
    bias: Floats
    activation: Activation

    @classmethod
    def drawn(cls, width: int, config: UnrolledConfig) -> Cell:
        """Random weights, the bias too."""
        rng = np.random.default_rng(config.seed)
        shapes = ((width, config.units), (config.units, config.units), (config.units,))
        kernel, recurrent, bias = (rng.normal(scale=0.5, size=shape).astype(np.float32) for shape in shapes)
        return cls(kernel=kernel, recurrent=recurrent, bias=bias, activation=config.activation)


def by_hand(cell: Cell, inputs: Floats) -> Floats:
    """float32[B, T, U]: the state after each step of ``inputs`` float32[B, T, I]."""
    act = {Activation.RELU: tf.nn.relu, Activation.TANH: tf.tanh}[cell.activation]
    state = tf.zeros([inputs.shape[0], len(cell.bias)])
    states = []
    for step in range(inputs.shape[1]):
        state = act(tf.matmul(inputs[:, step], cell.kernel) + tf.matmul(state, cell.recurrent) + cell.bias)
        states.append(state)
    return np.asarray(tf.stack(states, axis=1), np.float32)


def keras_layer(cell: Cell) -> Any:
    """A ``SimpleRNN`` that gives every state, with these weights."""
    layer = keras.layers.SimpleRNN(len(cell.bias), activation=cell.activation.value, return_sequences=True)
    layer.build((None, None, len(cell.kernel)))
    layer.set_weights([cell.kernel, cell.recurrent, cell.bias])
    return layer


def graph_of(layer: Any, activation: Activation) -> bytes:
    """The layer as ONNX: ``inputs`` float32[B, T, I] -> ``states`` float32[B, T, U]. Raises ExportParityError."""
    arrays = layer.get_weights()
    weights = recurrent_weights(f"rnn_{activation}", layer.units, [arrays])

    def serve(inputs: Any) -> dict[str, Any]:
        lengths = tf.fill([tf.shape(inputs)[0]], tf.shape(inputs)[1])
        return {_STATES: recurrence(inputs, lengths, weights)}

    signature = [tf.TensorSpec([None, None, len(arrays[0])], tf.float32, name="inputs")]
    return to_onnx(serve, signature, recurrent_layers=1)


def run(recipe: Recipe, out: Path, *, seed: int | None, say: Say) -> Outcome:
    """Compare the three and write ``out / id``. Raises RecipeError or ExportParityError, and then leaves nothing."""
    config = recipe.into(UnrolledConfig)
    config = config if seed is None else replace(config, seed=seed)
    inputs = np.array(config.steps, np.float32).transpose(1, 0, 2)
    cell = Cell.drawn(inputs.shape[2], config)
    layer = keras_layer(cell)
    graph = graph_of(layer, config.activation)
    hand = by_hand(cell, inputs)
    pairs = zip(layer.get_weights(), (cell.kernel, cell.recurrent, cell.bias), strict=True)
    differences = {
        "weights": max(float(np.abs(theirs - ours).max()) for theirs, ours in pairs),
        "keras": float(np.abs(np.asarray(layer(inputs)) - hand).max()),
        "onnx": float(np.abs(Session(graph).run({"inputs": inputs}) - hand).max()),
    }
    say(", ".join(f"{name} differ by {value:.1e}" for name, value in differences.items()))
    if not max(differences.values()) <= PARITY:
        raise ExportParityError(f"{recipe.path}: plain tensors, Keras and ONNX differ: {differences}")
    report = _report(recipe, config, graph, differences)
    return Outcome(folder=_write(out, recipe, config, report, graph), measurement=_measurement(config, report))


def _report(recipe: Recipe, config: UnrolledConfig, graph: bytes, differences: Mapping[str, float]) -> dict[str, Any]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    stamp = "".join(c for c in started[:19] if c not in "-:")
    return {
        "id": f"{recipe.name}-{stamp}-{sha256(graph)[:8]}",
        "recipe": recipe.name,
        "created_at": started,
        "commit": checkout(),
        "seed": config.seed,
        "is_fast": False,
        "config": asdict(config),
        "operators": dict(Counter(node.op_type for node in onnx.load_from_string(graph).graph.node)),
        "differences": dict(differences),
    }


def _table(report: Mapping[str, Any]) -> Table:
    rows = [(f"{name} against plain tensors", f"{value:.1e}") for name, value in report["differences"].items()]
    rows.append(("ONNX nodes", ", ".join(f"{count} {name}" for name, count in report["operators"].items())))
    return Table(columns=("largest difference of", "value"), rows=tuple(rows))


def _write(out: Path, recipe: Recipe, config: UnrolledConfig, report: Mapping[str, Any], graph: bytes) -> Path:
    card = [f"# {config.title}", "", f"`{report['id']}`, commit {report['commit']}, seed {report['seed']}.", ""]
    files = {
        MODEL_FILE: graph,
        REPORT_FILE: (json.dumps(report, indent=1, sort_keys=True) + "\n").encode(),
        CARD_FILE: "\n".join([*card, *_table(report).lines(), ""]).encode(),
    }
    manifest = manifest_json(report, files, config=recipe.path.read_text(encoding="utf-8"))
    return write_folder(out / str(report["id"]), {**files, RECIPE_FILE: manifest})


def _measurement(config: UnrolledConfig, report: Mapping[str, Any]) -> Measurement:
    return Measurement(
        id=f"{PREFIX}{report['recipe']}",
        title=f"Recipe `{report['recipe']}`: {config.title}",
        command=f"trainer train --recipe {report['recipe']}",
        text=("The same inputs through plain tensors, a Keras SimpleRNN with the same weights, and its ONNX export.",),
        tables=(_table(report),),
        figures={"differences": report["differences"], "operators": report["operators"]},
        seeds=(config.seed,),
        created_at=report["created_at"],
        commit=report["commit"],
    )

"""A trained published system as one ONNX graph, proved equal to Keras for every length, alone and in a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from trainer.errors import ExportParityError
from trainer.export import PARITY, to_onnx
from trainer.published import network
from trainer.published.config import SequenceConfig
from trainer.published.served import Session
from trainer.published.tokenizer import Ids, inputs, padded

_EVERY = 48
"""Up to this length every length is tried, beyond it the first and last dozen and some between."""
_UNLIMITED = 300
"""Longest text that is tried where the recipe has no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A graph that was checked."""

    graph: bytes
    parity: float
    """Largest difference to Keras on a logit or probability."""
    operators: Mapping[str, int]
    """ONNX operator -> number of nodes."""


def export(model: Any, config: SequenceConfig, size: int) -> Exported:
    """The graph of a network over ``size`` ids. Raises ExportParityError."""
    serve, signature = network.serving(model, config)
    graph = to_onnx(serve, signature, recurrent_layers=len(config.network.layers))
    operators = Counter(node.op_type for node in onnx.load_from_string(graph).graph.node)
    return Exported(graph=graph, parity=check_parity(model, config, graph, size), operators=operators)


def check_parity(model: Any, config: SequenceConfig, graph: bytes, size: int) -> float:
    """The largest difference between the graph and Keras over random texts. Raises ExportParityError."""
    rows = _random_rows(config, size)
    text, head = config.text, config.network.head
    width = text.length if not text.is_masked else max(len(row) for row in rows)
    expected = network.outputs(model, head, padded(rows, width, text.padding))
    session = Session(graph)
    together = session.run(inputs(rows, text))
    alone = np.concatenate([session.run(inputs([row], text)) for row in rows])
    worst = float(max(np.abs(together - expected).max(), np.abs(alone - expected).max()))
    if not worst <= PARITY:
        raise ExportParityError(
            f"ONNX and Keras differ by {worst:.2e} on {session.output}, at most {PARITY:.0e} is accepted"
        )
    return worst


def _random_rows(config: SequenceConfig, size: int) -> list[Ids]:
    """A text of no word, and one of each of many lengths from 1 to the longest."""
    rng = np.random.default_rng(config.fit.seed)
    top = config.text.length or _UNLIMITED
    steps = (
        range(1, top + 1) if top <= _EVERY else [*range(1, 13), *range(13, top, top // 12), *range(top - 11, top + 1)]
    )
    return [rng.integers(1, size, length, np.int32) for length in (0, *sorted(set(steps)))]

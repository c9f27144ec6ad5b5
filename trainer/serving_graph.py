"""The network as the ONNX graph that is served: written node by node, so that a message costs few and small ones.

Traced from TensorFlow the same network is 183 nodes, most of which work out shapes and masks; at 2 us each they took
as long as the recurrence. Here the embedding, the weight of an n-gram and a 1 for "there is one" are columns of one
table that is put together when the graph is loaded, masks follow from the padding being rows of zeros
(``filterd.core.bundle``), and time comes first from the recurrence on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from filterd.core.bundle import Hashing
from trainer.export import IR_VERSION, OPSET, RecurrentWeights, check_graph

LOW = -1e4
"""Stands for minus infinity where nothing may win a maximum."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedWeights:
    """Everything learnt, as the graph needs it."""

    embedding: NDArray[np.float16]
    """float16[token_buckets, E]"""
    grams: Floats
    """float32[token_buckets, 1]: the linear path's weight of an n-gram."""
    wide: Floats
    """float32[wide_buckets, 1]"""
    convolution: tuple[Floats, Floats] | None
    """Kernel float32[3 * E, F], bias float32[F]; None where there is none."""
    pool: int
    recurrent: RecurrentWeights
    hidden: tuple[Floats, Floats]
    output: tuple[Floats, Floats]
    passage: tuple[Floats, Floats] | None
    share: float
    """Weight of the passages."""
    floor: float
    """The least that the linear path gives."""
    mean: Floats
    scale: Floats
    side_limit: float


class _Graph:
    """Nodes and constants in the order they are named."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        """The name of a constant."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, *values: int) -> str:
        """The name of a constant list of axes, sizes or positions."""
        return self.const(values, np.int64)

    def __call__(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """One node with one output; its name."""
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def split(self, value: str, sizes: Sequence[int]) -> list[str]:
        """Parts of the last axis."""
        names = [f"n{len(self.nodes)}_{part}" for part in range(len(sizes))]
        self.nodes.append(helper.make_node("Split", [value, self.ints(*sizes)], names, axis=-1))
        return names


def serving_graph(weights: ServedWeights, hashing: Hashing) -> bytes:
    """The ONNX file. Inputs and outputs are those of ``filterd.core.bundle``. Raises ExportParityError."""
    graph = _Graph()
    words, gram_sums, counts = _words(graph, weights)
    mask = graph("Min", counts, graph.const(1.0))  # [B, T, 1]: 1 for a word
    grams = _by_word(graph, gram_sums, counts)
    if weights.convolution is None:
        lengths, steps = "length", graph("Transpose", words, perm=[1, 0, 2])
        real = graph("Transpose", mask, perm=[1, 0, 2])
        evidence = graph("Squeeze", grams, graph.ints(2))
    else:
        lengths = graph(
            "Div", graph("Add", "length", graph.const(weights.pool - 1, np.int32)), graph.const(weights.pool, np.int32)
        )
        steps, real, evidence = _pooled(graph, weights, words, mask, grams)
    states = _recurrence(graph, weights.recurrent, steps, lengths)
    low = graph(
        "Mul", graph("Sub", real, graph.const(1.0)), graph.const(-LOW)
    )  # [T, B, 1]: 0, or lowest beyond the end
    deep = _deep(graph, weights, states, low, lengths)
    if weights.passage is not None:
        scores = graph("Add", graph("MatMul", states, graph.const(weights.passage[0])), graph.const(weights.passage[1]))
        shares = graph("Softmax", graph("Add", scores, low), axis=0)
        by_step = graph("Mul", graph("Mul", shares, scores), graph.const(weights.share))
        deep = graph("Add", deep, graph("ReduceSum", by_step, graph.ints(0), keepdims=0))
        turned = graph("Transpose", graph("Squeeze", by_step, graph.ints(2)), perm=[1, 0])
        evidence = graph("Add", evidence, turned)
    graph("Identity", evidence, output="evidence")
    path = graph("Add", _linear(graph, weights.wide), graph("ReduceSum", grams, graph.ints(1), keepdims=0))
    logit = graph("Add", deep, graph("Max", path, graph.const(weights.floor)))
    graph("Squeeze", logit, graph.ints(1), output="logit")
    return _file(graph, hashing)


def _words(graph: _Graph, weights: ServedWeights) -> list[str]:
    """Per word: sum of its rows over the root of their number [B, T, E], sum of its n-gram weights, their number."""
    there = np.ones((len(weights.grams), 1), np.float32)
    # Id 0 is none: its row is zeros, so that nothing has to be masked.
    embedding, grams = weights.embedding.copy(), weights.grams.copy()
    embedding[0] = grams[0] = there[0] = 0
    half = graph("Cast", graph.const(embedding, np.float16), to=TensorProto.FLOAT)
    table = graph("Concat", half, graph.const(grams), graph.const(there), axis=1)
    sums = graph("ReduceSum", graph("Gather", table, "tokens"), graph.ints(2), keepdims=0)
    rows, gram_sums, counts = graph.split(sums, [embedding.shape[1], 1, 1])
    root = graph("Sqrt", graph("Max", counts, graph.const(1.0)))
    return [graph("Div", rows, root), gram_sums, counts]


def _by_word(graph: _Graph, sums: str, counts: str) -> str:
    """What the n-grams of each word add: float32[B, T, 1]."""
    total = graph("Max", graph("ReduceSum", counts, graph.ints(1), keepdims=1), graph.const(1.0))
    return graph("Div", sums, graph("Sqrt", total))


def _pooled(graph: _Graph, weights: ServedWeights, words: str, mask: str, grams: str) -> tuple[str, str, str]:
    """Convolution over three words and pooling: steps [T', B, F], which are real [T', B, 1], n-grams [B, T'].

    One step more than full on the right makes the pools cover what is left over: floor((T + p - 1) / p) of them.
    """
    assert weights.convolution is not None
    kernel, bias = weights.convolution
    more, pool = weights.pool - 1, [weights.pool]
    width, filters = weights.embedding.shape[1], kernel.shape[1]
    channels = graph("Transpose", words, perm=[0, 2, 1])
    taps = kernel.reshape(3, width, filters).transpose(2, 1, 0)
    found = graph("Conv", channels, graph.const(taps), graph.const(bias), kernel_shape=[3], pads=[1, 1])
    shown = graph("Mul", graph("Relu", found), graph("Transpose", mask, perm=[0, 2, 1]))
    ends = graph.ints(0, 0, 0, 0, 0, more)
    steps = graph("MaxPool", graph("Pad", shown, ends), kernel_shape=pool, strides=pool)
    real = graph("Slice", mask, graph.ints(0), graph.ints(2**31), graph.ints(1), graph.ints(weights.pool))
    means = graph(
        "AveragePool",
        graph("Pad", graph("Transpose", grams, perm=[0, 2, 1]), ends),
        kernel_shape=pool,
        strides=pool,
    )
    evidence = graph("Mul", graph("Squeeze", means, graph.ints(1)), graph.const(float(weights.pool)))
    return graph("Transpose", steps, perm=[2, 0, 1]), graph("Transpose", real, perm=[1, 0, 2]), evidence


def _recurrence(graph: _Graph, weights: RecurrentWeights, steps: str, lengths: str) -> str:
    """States after each step, both directions: float32[T, B, D * U]; zero beyond the length."""
    operator = {"lstm": "LSTM", "gru": "GRU"}[weights.cell]
    attributes: dict[str, Any] = {"linear_before_reset": 1} if weights.cell == "gru" else {}
    kinds = graph.const(weights.kernel), graph.const(weights.recurrent), graph.const(weights.bias)
    direction = "bidirectional" if weights.directions == 2 else "forward"
    states = graph(operator, steps, *kinds, lengths, hidden_size=weights.units, direction=direction, **attributes)
    if weights.directions == 1:
        return graph("Squeeze", states, graph.ints(1))
    return graph("Reshape", graph("Transpose", states, perm=[0, 2, 1, 3]), graph.ints(0, 0, -1))


def _deep(graph: _Graph, weights: ServedWeights, states: str, low: str, lengths: str) -> str:
    """Pools and side features through the dense layers: float32[B, 1]."""
    highest = graph("ReduceMax", graph("Add", states, low), axes=[0], keepdims=0)
    count = graph("Unsqueeze", graph("Cast", lengths, to=TensorProto.FLOAT), graph.ints(1))
    mean = graph("Div", graph("ReduceSum", states, graph.ints(0), keepdims=0), count)
    side = graph("Mul", graph("Sub", "side", graph.const(weights.mean)), graph.const(1.0 / weights.scale))
    side = graph("Clip", side, graph.const(-weights.side_limit), graph.const(weights.side_limit))
    joined = graph("Concat", highest, mean, side, axis=1)
    hidden = graph("Relu", graph("Gemm", joined, *map(graph.const, weights.hidden)))
    return graph("Gemm", hidden, *map(graph.const, weights.output))


def _linear(graph: _Graph, table: Floats) -> str:
    """Sum of the weights of a message's features over the root of their number: float32[B, 1]."""
    table = table.copy()
    table[0] = 0
    weights = graph("ReduceSum", graph("Gather", graph.const(table), "wide"), graph.ints(1), keepdims=0)
    present = graph("ReduceSum", graph("Min", "wide", graph.const(1, np.int32)), graph.ints(1), keepdims=1)
    count = graph("Max", graph("Cast", present, to=TensorProto.FLOAT), graph.const(1.0))
    return graph("Div", weights, graph("Sqrt", count))


def _file(graph: _Graph, hashing: Hashing) -> bytes:
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT32, ["batch", "time", hashing.grams]),
        helper.make_tensor_value_info("length", TensorProto.INT32, ["batch"]),
        helper.make_tensor_value_info("wide", TensorProto.INT32, ["batch", hashing.max_wide]),
        helper.make_tensor_value_info("side", TensorProto.FLOAT, ["batch", len(hashing.side)]),
    ]
    outputs = [
        helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch"]),
        helper.make_tensor_value_info("evidence", TensorProto.FLOAT, ["batch", "steps"]),
    ]
    body = helper.make_graph(graph.nodes, "filterd", inputs, outputs, graph.constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    check_graph(model, recurrent_layers=1)
    return bytes(model.SerializeToString())

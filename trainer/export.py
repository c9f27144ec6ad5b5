"""Turns a trained network into an ONNX graph with fused recurrent nodes and exact lengths, and proves it equal.

The serving function is traced with one ``CudnnRNNV3`` per recurrent layer, which never runs; a tf2onnx handler turns
it into ONNX ``LSTM``, ``GRU`` or ``RNN`` with ``sequence_lens``. A masked Keras layer becomes a ``Loop``, ten times
slower (tensorflow-onnx 1684, 1871). Gate order: Keras LSTM i, f, c, o is ONNX i, o, f, c; GRU z, r, h is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from numpy.typing import NDArray
from tf2onnx import convert
from tf2onnx.handler import tf_op
from tf2onnx.tfonnx import process_tf_graph  # noqa: F401  (loads the handlers that ours is added to)

from trainer.errors import ExportParityError

OPSET = 17
IR_VERSION = 8
"""The IR that came with opset 17; any newer runtime reads it."""
PARITY = 1e-4
"""Largest difference between Keras and ONNX Runtime, in log-odds."""
_FORBIDDEN = frozenset({"Loop", "Scan", "If"})
_ORDER = {"lstm": (0, 3, 1, 2), "gru": (0, 1, 2), "rnn_tanh": (0,), "rnn_relu": (0,)}
"""Cell, as ``CudnnRNNV3`` names it -> where each ONNX gate stands in Keras's weights."""
_OPERATORS = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN", "rnn_relu": "RNN"}
_ACTIVATIONS = {"rnn_tanh": "Tanh", "rnn_relu": "Relu"}

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrentWeights:
    """Weights of one recurrent layer as ONNX wants them, first axis: direction."""

    cell: str
    """lstm, gru, rnn_tanh or rnn_relu."""
    units: int
    kernel: Floats
    """float32[D, gates * units, input]"""
    recurrent: Floats
    """float32[D, gates * units, units]"""
    bias: Floats
    """float32[D, 2 * gates * units]"""

    @property
    def directions(self) -> int:
        """1, or 2 when bidirectional."""
        return int(self.kernel.shape[0])


def recurrent_weights(cell: str, units: int, directions: Sequence[Sequence[Floats]]) -> RecurrentWeights:
    """ONNX weights from Keras's ``get_weights`` of each direction: kernel, recurrent kernel, bias.

    A GRU must have been built with ``reset_after=True``, Keras's default.
    """
    order = _ORDER[cell]
    kernels, recurrents, biases = [], [], []
    for kernel, recurrent, bias in directions:
        kernels.append(_gates(kernel, order).T)
        recurrents.append(_gates(recurrent, order).T)
        if cell == "gru":  # its two biases, of input and of state, are ONNX's two
            biases.append(bias.reshape(-1))
        else:
            biases.append(np.concatenate([_gates(bias, order), np.zeros_like(bias)]))
    return RecurrentWeights(
        cell=cell, units=units, kernel=np.stack(kernels), recurrent=np.stack(recurrents), bias=np.stack(biases)
    )


def _gates(matrix: Floats, order: tuple[int, ...]) -> Floats:
    parts = np.split(matrix, len(order), axis=-1)
    return np.concatenate([parts[gate] for gate in order], axis=-1)


def recurrence(inputs: Any, lengths: Any, weights: RecurrentWeights) -> Any:
    """Stand-in for the recurrent layer in a serving function: float32[B, T, I] -> float32[B, T, D * units].

    It can be traced but never run. The weights travel in the constant ``params``; the handler takes them apart.
    """
    params = np.concatenate([weights.kernel.ravel(), weights.recurrent.ravel(), weights.bias.ravel()])
    batch = tf.shape(inputs)[0]
    state = tf.zeros([weights.directions, batch, weights.units])
    output = tf.raw_ops.CudnnRNNV3(
        input=tf.transpose(inputs, [1, 0, 2]),
        input_h=state,
        input_c=state,
        params=tf.constant(params),
        sequence_lengths=lengths,
        rnn_mode=weights.cell,
        direction="bidirectional" if weights.directions == 2 else "unidirectional",
        is_training=False,
        time_major=True,
    ).output
    return tf.transpose(output, [1, 0, 2])


@tf_op("CudnnRNNV3")
class FusedRecurrence:
    """``CudnnRNNV3`` as one ONNX node."""

    @classmethod
    def version_1(cls, ctx: Any, node: Any, **_: Any) -> None:
        """Replace ``node`` in tf2onnx's graph ``ctx``; the name says from which opset on."""
        inputs, lengths = node.input[0], node.input[4]
        cell = node.get_attr_value("rnn_mode").decode()
        directions = 2 if node.get_attr_value("direction") == b"bidirectional" else 1
        width = ctx.get_shape(inputs)[2]
        units = ctx.get_shape(node.input[1])[2]
        flat = node.inputs[3].get_tensor_value(as_list=False)
        parts = _parts(flat, cell, directions, width, units)
        names = [ctx.make_const(f"{node.name}_{name}", part).output[0] for name, part in parts.items()]
        attributes: dict[str, Any] = {"hidden_size": units, "direction": _direction(directions)}
        if cell == "gru":
            attributes["linear_before_reset"] = 1
        if cell in _ACTIVATIONS:
            attributes["activations"] = [_ACTIVATIONS[cell]] * directions
        output, dtype = node.output[0], ctx.get_dtype(node.output[0])
        ctx.remove_node(node.name)
        fused = ctx.make_node(
            _OPERATORS[cell],
            [inputs, *names, lengths],
            attr=attributes,
            shapes=[[-1, directions, -1, units]],
            dtypes=[dtype],
            name=f"{node.name}_fused",
        )
        _flatten(ctx, fused.output[0], directions, units, output, dtype)


def _parts(flat: Floats, cell: str, directions: int, width: int, units: int) -> dict[str, Floats]:
    gates = len(_ORDER[cell]) * units
    first, second = directions * gates * width, directions * gates * (width + units)
    return {
        "W": flat[:first].reshape(directions, gates, width),
        "R": flat[first:second].reshape(directions, gates, units),
        "B": flat[second:].reshape(directions, 2 * gates),
    }


def _direction(directions: int) -> bytes:
    return b"bidirectional" if directions == 2 else b"forward"


def _flatten(ctx: Any, fused: str, directions: int, units: int, output: str, dtype: int) -> None:
    """[T, D, B, U] -> [T, B, D * U]; one direction is squeezed, as tf2onnx would drop the Transpose."""
    shape = [-1, -1, directions * units]
    if directions == 1:
        axes = ctx.make_const(f"{fused}_axes", np.array([1], np.int64)).output[0]
        ctx.make_node("Squeeze", [fused, axes], outputs=[output], shapes=[shape], dtypes=[dtype])
        return
    turned = ctx.make_node(
        "Transpose", [fused], attr={"perm": [0, 2, 1, 3]}, shapes=[[-1, -1, directions, units]], dtypes=[dtype]
    )
    target = ctx.make_const(f"{fused}_shape", np.array([0, 0, -1], np.int64)).output[0]
    ctx.make_node("Reshape", [turned.output[0], target], outputs=[output], shapes=[shape], dtypes=[dtype])


def to_onnx(serve: Callable[..., Any], signature: Sequence[Any], *, recurrent_layers: int) -> bytes:
    """The graph of a serving function; its outputs are named as the keys it returns. Raises ExportParityError.

    tf2onnx logs what it cannot convert and goes on, so the result is checked here.
    """
    model, _ = convert.from_function(
        tf.function(serve, input_signature=list(signature)), input_signature=list(signature), opset=OPSET
    )
    model.ir_version = IR_VERSION
    check_graph(model, recurrent_layers=recurrent_layers)
    return bytes(model.SerializeToString())


def check_graph(model: Any, *, recurrent_layers: int) -> None:
    """Raises ExportParityError unless the graph is valid, self-contained, free of loops and fused throughout."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as exc:
        raise ExportParityError(f"the exported graph is not valid ONNX: {exc}") from exc
    operators = [node.op_type for node in model.graph.node]
    if found := _FORBIDDEN.intersection(operators):
        raise ExportParityError(f"the exported graph has the slow node {min(found)}")
    fused = sum(operator in _OPERATORS.values() for operator in operators)
    if fused != recurrent_layers:
        raise ExportParityError(f"the exported graph has {fused} fused recurrent nodes, expected {recurrent_layers}")
    if any(tensor.external_data for tensor in model.graph.initializer):
        raise ExportParityError("the exported graph keeps weights outside the file")
    opset = max(each.version for each in model.opset_import if not each.domain)
    if opset > OPSET:
        raise ExportParityError(f"the exported graph wants opset {opset}, at most {OPSET} is served")


def check_parity(model: bytes, batches: Sequence[dict[str, NDArray[Any]]], expected: Sequence[Floats]) -> float:
    """The largest difference to ``expected``, each message alone and inside its batch. Raises ExportParityError."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    worst = 0.0
    for feeds, logits in zip(batches, expected, strict=True):
        together = session.run(["logit"], feeds)[0]
        alone = [session.run(["logit"], _only(feeds, row))[0][0] for row in range(len(logits))]
        worst = max(worst, float(np.abs(together - logits).max()), float(np.abs(np.array(alone) - logits).max()))
    if not worst <= PARITY:
        raise ExportParityError(f"ONNX and Keras differ by {worst:.2e} on a logit, at most {PARITY:.0e} is accepted")
    return worst


def _only(feeds: dict[str, NDArray[Any]], row: int) -> dict[str, NDArray[Any]]:
    """One message of a batch without its padding."""
    length = max(1, int(feeds["length"][row]))
    one = {name: value[row : row + 1] for name, value in feeds.items()}
    return {**one, "tokens": one["tokens"][:, :length]}

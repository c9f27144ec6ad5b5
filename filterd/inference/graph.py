"""What is in an ONNX file, read without running it: its operators, and the tables stored in it.

A small reader of the protobuf wire format for the few fields that matter (onnx.proto3: ModelProto, GraphProto,
NodeProto, TensorProto, AttributeProto). It refuses what a bundle may not hold: external data, operators of foreign
domains, and graphs inside graphs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from filterd.errors import ContractMismatch

_FLOAT = 1
_LOCATION_EXTERNAL = 1
_DOMAINS = frozenset((b"", b"ai.onnx", b"com.microsoft"))
"""Operators of ONNX, and of ONNX Runtime itself (quantised recurrent layers)."""
_LOOPS = frozenset((b"Loop", b"Scan", b"If"))

# Field numbers of onnx.proto3.
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 5, 6, 11
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_NAME = 1, 2, 4, 8
_TENSOR_RAW, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 9, 13, 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A float32 tensor stored in the graph."""

    name: str
    shape: tuple[int, ...]
    data: memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What a model file holds."""

    operators: frozenset[str]
    tables: tuple[Table, ...]

    def column(self, rows: int) -> npt.NDArray[np.float32] | None:
        """The only table with ``rows`` rows of one number; None where there is none, or more than one."""
        found = [t for t in self.tables if t.shape in ((rows,), (rows, 1)) and len(t.data) == rows * 4]
        return np.frombuffer(found[0].data, dtype="<f4").copy() if len(found) == 1 else None


def read_graph(model: bytes) -> Graph:
    """Raises ContractMismatch for what is no ONNX file, or one that a bundle may not hold."""
    try:
        graphs = []
        for number, value in _fields(memoryview(model)):
            if number == _MODEL_FUNCTIONS:
                raise ContractMismatch("the model defines functions of its own")
            if number == _MODEL_GRAPH:
                graphs.append(value)
        if len(graphs) != 1 or not isinstance(graphs[0], memoryview):
            raise ContractMismatch("the model file holds no graph")
        return _graph(graphs[0])
    except (IndexError, ValueError, UnicodeDecodeError) as exc:
        raise ContractMismatch(f"the model file cannot be read: {exc}") from None


def _graph(data: memoryview) -> Graph:
    operators, tables = set(), []
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == _GRAPH_NODE:
            operators.add(_node(value))
        elif number == _GRAPH_INITIALIZER:
            table = _tensor(value)
            if table:
                tables.append(table)
        elif number == _GRAPH_SPARSE:
            raise ContractMismatch("the model holds a sparse tensor")
    return Graph(operators=frozenset(operators), tables=tuple(tables))


def _node(data: memoryview) -> str:
    kind, domain = b"", b""
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == _NODE_TYPE:
            kind = bytes(value)
        elif number == _NODE_DOMAIN:
            domain = bytes(value)
        elif number == _NODE_ATTRIBUTE:
            _attribute(value)
    if domain not in _DOMAINS:
        raise ContractMismatch(f"the model uses operators of {domain.decode('ascii', 'replace')!r}")
    if kind in _LOOPS:
        raise ContractMismatch(f"the model has a {kind.decode()} node")
    return kind.decode("ascii", "replace")


def _attribute(data: memoryview) -> None:
    for number, value in _fields(data):
        if number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
            raise ContractMismatch("the model has a graph inside a node")
        if number == _ATTRIBUTE_TENSOR and isinstance(value, memoryview):
            _tensor(value)


def _tensor(data: memoryview) -> Table | None:
    """The tensor as a table, if it is one of float32."""
    shape: list[int] = []
    kind, name, raw = 0, "", memoryview(b"")
    for number, value in _fields(data):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value == _LOCATION_EXTERNAL):
            raise ContractMismatch("the model keeps data outside its file")
        if number == _TENSOR_DIMS:
            shape += [value] if isinstance(value, int) else list(_packed(value))
        elif number == _TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif number in (_TENSOR_RAW, _TENSOR_FLOATS) and isinstance(value, memoryview):
            raw = value if len(value) > len(raw) else raw
        elif number == _TENSOR_NAME and isinstance(value, memoryview):
            name = bytes(value).decode("utf-8", "replace")
    return Table(name=name, shape=tuple(shape), data=raw) if kind == _FLOAT else None


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of one protobuf message. Source: protobuf.dev, "Encoding"."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > len(data):
            raise ValueError("truncated")
        yield number, data[at : at + size]
        at += size


def _packed(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("number too long")

"""Small bundles for tests: a linear model whose table holds a weight for each of a few words."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from filterd.core.bundle import (
    MODEL_FILE,
    PROBES_FILE,
    SPEC_FILE,
    Bundle,
    BundleSpec,
    Calibration,
    Hashing,
    Probe,
    probes_to_jsonl,
)
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from filterd.inference.loaded import LoadedModel

WEIGHTS = {"lottery": 6.0, "winner": 4.0, "agenda": -4.0}
POINTS = {"lenient": 0.95, "normal": 0.8, "strict": 0.5}
BIAS = -2.0
SPAM_MAIL = b"From: Eve <eve@example.com>\r\nTo: b@example.net\r\nSubject: hello\r\n\r\nlottery winner\r\n"
HAM_MAIL = b"From: Ann <ann@example.org>\r\nTo: b@example.net\r\nSubject: hello\r\n\r\nthe agenda for Monday\r\n"
SPAM_SMS = b"lottery winner call now"
HAM_SMS = b"see you at lunch"


def word_id(word: str, hashing: Hashing) -> int:
    """The linear path's id of ``word``."""
    encoded = Extractor(Channel.SMS, DEFAULT_HASHING[Channel.SMS], ParseLimits())(word.encode()).encoded
    assert hashing.seed == DEFAULT_HASHING[Channel.SMS].seed
    return int(encoded.word_ids[encoded.words.index(word)])


def graph_bytes(hashing: Hashing, weights: Mapping[str, float] = WEIGHTS, bias: float = BIAS) -> bytes:
    """An ONNX graph: the sum of the weights of ``wide``, and ``bias``."""
    table = np.zeros((hashing.wide_buckets, 1), dtype=np.float32)
    for word, weight in weights.items():
        table[word_id(word, hashing)] = weight
    nodes = [
        helper.make_node("Gather", ["table", "wide"], ["picked"]),
        helper.make_node("ReduceSum", ["picked", "axes"], ["summed"], keepdims=0),
        helper.make_node("Add", ["summed", "bias"], ["logit"]),
    ]
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT32, ["b", "t", hashing.grams]),
        helper.make_tensor_value_info("length", TensorProto.INT32, ["b"]),
        helper.make_tensor_value_info("wide", TensorProto.INT32, ["b", hashing.max_wide]),
        helper.make_tensor_value_info("side", TensorProto.FLOAT, ["b", len(hashing.side)]),
    ]
    stored = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes"),
        numpy_helper.from_array(np.array(bias, dtype=np.float32), "bias"),
    ]
    output = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["b"])
    graph = helper.make_graph(nodes, "tiny", inputs, [output], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def a_spec(channel: Channel, model: bytes, id: str = "", calibration: Calibration | None = None) -> BundleSpec:
    """A spec without checksums."""
    return BundleSpec(
        id=id or f"{channel.value}-20260101T000000-{hashlib.sha256(model).hexdigest()[:8]}",
        channel=channel,
        hashing=DEFAULT_HASHING[channel],
        calibration=calibration or Calibration(),
        points=POINTS,
        created_at="2026-01-01T00:00:00Z",
    )


def write_bundle(
    folder: Path,
    channel: Channel,
    *,
    id: str = "",
    bias: float = BIAS,
    model: bytes | None = None,
    probes: tuple[Probe, ...] | None = None,
) -> Path:
    """A whole bundle in ``folder``: spam for the words of ``WEIGHTS``."""
    model = model if model is not None else graph_bytes(DEFAULT_HASHING[channel], bias=bias)
    spec = a_spec(channel, model, id)
    if probes is None:
        loaded = LoadedModel(Bundle(spec=spec, model=model, probes=()))
        extractor = Extractor(channel, spec.hashing, ParseLimits())
        raws = (SPAM_MAIL, HAM_MAIL) if channel is Channel.EMAIL else (SPAM_SMS, HAM_SMS)
        probes = tuple(Probe(raw=raw.decode("latin-1"), logit=loaded.score(extractor(raw).tokens)) for raw in raws)
    files = {MODEL_FILE: model, PROBES_FILE: probes_to_jsonl(probes).encode()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    checked = replace(spec, files={name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
    (folder / SPEC_FILE).write_text(checked.to_json(), encoding="utf-8")
    return folder

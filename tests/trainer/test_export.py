"""Exported graphs are fused, free of loops, and equal to Keras for every length, alone and padded."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from filterd.core.bundle import Hashing
from trainer.config import ModelConfig
from trainer.errors import ExportParityError
from trainer.export import check_graph, check_parity
from trainer.model import WideDeep, by_token, passages
from trainer.serving_graph import serving_graph

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # TensorFlow and tf2onnx warn of their own insides
]

_HASHING = Hashing(
    normalizer=1,
    seed=3,
    max_tokens=21,
    grams=3,
    token_buckets=50,
    max_wide=9,
    wide_buckets=70,
    side=("a_x", "a_y", "b_z"),
)


def feeds_of(lengths: list[int], longest: int, seed: int) -> dict[str, Any]:
    """Random messages of these lengths, padded."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 50, (len(lengths), longest, 3)).astype(np.int32)
    tokens[:, :, 0] = np.maximum(tokens[:, :, 0], 1)
    for row, length in enumerate(lengths):
        tokens[row, length:] = 0
    return {
        "tokens": tokens,
        "length": np.array(lengths, np.int32),
        "wide": rng.integers(0, 70, (len(lengths), 9)).astype(np.int32),
        "side": rng.normal(size=(len(lengths), 3)).astype(np.float32),
    }


def network(config: ModelConfig) -> Any:
    """A network with random weights everywhere, the biases and the linear table too."""
    model = WideDeep(_HASHING, config, (np.array([0.1, 0, -0.2]), np.array([1.0, 2, 0.5])))
    model(feeds_of([3, 5], 5, 0))
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(rng.normal(scale=0.5, size=weight.shape))
    model.round_embedding()
    return model


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [True, False], ids=["both", "forward"])
@pytest.mark.parametrize(("filters", "pool"), [(0, 1), (6, 4)], ids=["plain", "pooled"])
def test_serving_graph_when_any_cell_is_exported_then_it_is_fused_and_equal(cell, bidirectional, filters, pool):
    config = ModelConfig(
        cell=cell, embedding=5, filters=filters, pool=pool, units=7, bidirectional=bidirectional, dense=6
    )
    model = network(config)
    lengths = list(range(1, 22))
    batches = [feeds_of(lengths, 21, 2), feeds_of([1, 2, 3], 3, 3), feeds_of([4, 1], 16, 4)]

    graph = serving_graph(model.served(), _HASHING)
    worst = check_parity(graph, batches, [np.asarray(model(feeds)) for feeds in batches])
    operators = [node.op_type for node in onnx.load_from_string(graph).graph.node]

    assert worst <= 2e-5
    assert len(operators) < 80
    assert operators.count(cell.upper()) == 1
    assert not {"Loop", "Scan", "If"}.intersection(operators)


def test_serving_graph_when_the_weights_differ_then_parity_is_refused():
    model = network(ModelConfig(embedding=5, units=7, dense=6))
    feeds = feeds_of([3, 9], 9, 5)
    expected = np.asarray(model(feeds))
    model.output_layer.bias.assign([7.0])

    graph = serving_graph(model.served(), _HASHING)

    with pytest.raises(ExportParityError, match="differ by"):
        check_parity(graph, [feeds], [expected])


def test_check_graph_when_a_layer_is_not_fused_then_it_is_refused():
    model = network(ModelConfig(embedding=5, units=7, dense=6))
    graph = onnx.load_from_string(serving_graph(model.served(), _HASHING))

    with pytest.raises(ExportParityError, match="1 fused recurrent nodes, expected 2"):
        check_graph(graph, recurrent_layers=2)


def test_network_when_padding_holds_rubbish_then_the_logit_is_the_same():
    model = network(ModelConfig(embedding=5, filters=6, pool=4, units=7, dense=6))
    feeds = feeds_of([3, 9], 12, 6)
    dirty = {**feeds, "tokens": feeds["tokens"].copy()}
    dirty["tokens"][0, 3:] = 7
    dirty["tokens"][1, 9:] = 7

    assert np.asarray(model(dirty)) == pytest.approx(np.asarray(model(feeds)), abs=1e-5)


def test_serving_graph_when_passages_count_then_the_evidence_is_what_they_add():
    model = network(ModelConfig(embedding=5, filters=6, pool=4, units=7, dense=6))
    feeds = feeds_of([3, 9, 12], 12, 7)
    graph = serving_graph(model.served(), _HASHING)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    logit, evidence = session.run(["logit", "evidence"], feeds)
    model.passage.set_weights([np.zeros((14, 1)), np.zeros(1)])
    model.gram_table.set_weights([np.zeros((50, 1))])

    assert np.asarray(model(feeds)) == pytest.approx(logit - evidence.sum(axis=1), abs=1e-4)
    assert evidence.shape == (3, 3)
    assert not evidence[0, 1:].any()
    assert evidence[2].all()


def test_serving_graph_when_passages_do_not_count_then_the_evidence_is_that_of_the_words_alone():
    model = network(ModelConfig(embedding=5, units=7, dense=6, has_passages=False))
    feeds = feeds_of([3, 9], 9, 8)
    graph = serving_graph(model.served(), _HASHING)

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    evidence = session.run(["evidence"], feeds)[0]

    words = by_token(model.gram_table.embeddings, feeds["tokens"], feeds["length"]).numpy()
    assert evidence == pytest.approx(words, abs=1e-5)


def test_network_when_ham_is_appended_then_the_worst_passage_still_counts():
    scores = np.array([[4.0, -1.0, -1.0, -1.0, -1.0]], np.float32)

    alone = passages(scores[:, :1], np.array([[True]])).numpy().sum()
    among = passages(scores, np.array([[True] * 5])).numpy().sum()

    assert alone == pytest.approx(4.0)
    assert among > 3.5


def test_network_when_good_words_are_added_then_the_linear_path_stops_at_its_floor():
    model = network(ModelConfig(embedding=5, units=7, dense=6))
    model.wide_table.set_weights([np.full((70, 1), -9.0)])
    model.gram_table.set_weights([np.zeros((50, 1))])
    feeds = feeds_of([3, 9], 9, 9)
    model.floor = np.float32(-1.5)
    graph = serving_graph(model.served(), _HASHING)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

    deep = np.asarray(model.deep(feeds, training=False))

    assert np.asarray(model(feeds)) == pytest.approx(deep - 1.5, abs=1e-4)
    assert session.run(["logit"], feeds)[0] == pytest.approx(deep - 1.5, abs=1e-4)

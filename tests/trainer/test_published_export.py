"""Networks of published systems become one fused node per layer, equal to Keras for every length and padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from trainer.errors import ExportParityError
from trainer.export import to_onnx
from trainer.published import blocks, network, unrolled
from trainer.published.config import (
    Activation,
    Cell,
    Cleaning,
    CorpusName,
    FitConfig,
    Head,
    LayerConfig,
    NetworkConfig,
    Optimizer,
    ProtocolConfig,
    SequenceConfig,
    Side,
    TextConfig,
)
from trainer.published.export import check_parity, export
from trainer.recipe import find

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # TensorFlow and tf2onnx warn of their own insides
]

IDS = 40
LENGTH = 12


def system(
    layers: Sequence[LayerConfig], *, head: Head = Head.LOGIT, padding: Side = Side.RIGHT, is_masked: bool = False
) -> SequenceConfig:
    return SequenceConfig(
        title="made up",
        corpus=CorpusName.SMS_UCI,
        text=TextConfig(cleaning=Cleaning.SPACED, length=LENGTH, padding=padding, is_masked=is_masked),
        network=NetworkConfig(embedding=5, layers=tuple(layers), head=head, spatial_dropout=0.4, dense=4, dropout=0.5),
        fit=FitConfig(optimizer=Optimizer.ADAM, learning_rate=1e-2, batch=4, epochs=1),
        protocol=ProtocolConfig(),
    )


def layer(cell: Cell, **fields: Any) -> LayerConfig:
    return LayerConfig(cell=cell, units=fields.pop("units", 6), **fields)


def trained(config: SequenceConfig) -> Any:
    """A network whose weights are all random, biases too."""
    model = network.build(config, IDS)
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(scale=0.4, size=weight.shape))
    return model


def run(graph: bytes, feeds: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, feeds)[0])


CELLS = [
    layer(Cell.SIMPLE),
    layer(Cell.SIMPLE, activation=Activation.RELU),
    layer(Cell.LSTM, dropout=0.3, recurrent_dropout=0.3),
    layer(Cell.GRU, recurrent_dropout=0.3),
]
PADDINGS = [(Side.RIGHT, False), (Side.LEFT, False), (Side.RIGHT, True), (Side.LEFT, True)]


@pytest.mark.parametrize("cell", CELLS, ids=["tanh", "relu", "lstm", "gru"])
@pytest.mark.parametrize(("padding", "is_masked"), PADDINGS, ids=["right", "left", "right-masked", "left-masked"])
@pytest.mark.parametrize("is_bidirectional", [False, True], ids=["forward", "both"])
def test_export_when_padding_and_cell_differ_then_the_graph_is_fused_and_equal_to_keras(
    cell, padding, is_masked, is_bidirectional
):
    head = Head.SOFTMAX if padding is Side.LEFT else Head.LOGIT
    config = system([replace(cell, is_bidirectional=is_bidirectional)], head=head, padding=padding, is_masked=is_masked)
    model = trained(config)
    rng = np.random.default_rng(2)
    rows = [rng.integers(1, IDS, length) for length in range(1, LENGTH + 1)]
    for_keras = np.array([_padded(row, padding) for row in rows], np.int32)
    for_onnx = np.array([_padded(row, Side.RIGHT if is_masked else padding) for row in rows], np.int32)
    lengths = {"length": np.array([len(row) for row in rows], np.int32)} if is_masked else {}

    made = export(model, config, IDS)
    together = run(made.graph, {"tokens": for_onnx, **lengths})
    expected = network.outputs(model, head, for_keras)

    assert np.abs(together - expected).max() <= 1e-5
    assert made.parity <= 1e-5
    assert sum(made.operators.get(name, 0) for name in ("RNN", "LSTM", "GRU")) == 1
    assert not {"Loop", "Scan", "If"} & made.operators.keys()
    if head is Head.SOFTMAX:
        assert together.sum(axis=1) == pytest.approx(np.ones(LENGTH), abs=1e-6)


def _padded(row: NDArray[Any], side: Side) -> list[int]:
    zeros = [0] * (LENGTH - len(row))
    return [*row.tolist(), *zeros] if side is Side.RIGHT else [*zeros, *row.tolist()]


def test_export_when_layers_are_stacked_then_each_is_one_node():
    layers = [layer(Cell.LSTM, is_bidirectional=True), layer(Cell.GRU, units=3), layer(Cell.SIMPLE, units=4)]
    config = system(layers, is_masked=True)

    made = export(trained(config), config, IDS)

    assert [made.operators.get(name) for name in ("LSTM", "GRU", "RNN")] == [1, 1, 1]
    assert made.parity <= 1e-5


def test_export_when_a_masked_text_stands_beside_a_longer_one_then_its_logit_is_the_same():
    config = system([layer(Cell.LSTM, is_bidirectional=True)], is_masked=True)
    graph = export(trained(config), config, IDS).graph
    row = np.array([[3, 9, 4]], np.int32)
    pair = np.array([[3, 9, 4, 0, 0, 0], [1, 2, 3, 4, 5, 6]], np.int32)

    alone = run(graph, {"tokens": row, "length": np.array([3], np.int32)})
    beside = run(graph, {"tokens": pair, "length": np.array([3, 6], np.int32)})

    assert beside[0] == pytest.approx(alone[0], abs=1e-6)
    assert beside[1] != pytest.approx(beside[0], abs=1e-3)


@pytest.mark.parametrize("is_masked", [True, False], ids=["masked", "steps"])
@pytest.mark.parametrize("is_bidirectional", [True, False], ids=["both", "forward"])
def test_blocks_when_they_stand_for_keras_s_layers_then_logits_and_gradients_are_the_same(is_masked, is_bidirectional):
    layers = [layer(Cell.LSTM, is_bidirectional=is_bidirectional), layer(Cell.LSTM, is_bidirectional=is_bidirectional)]
    config = system(layers, is_masked=is_masked)
    config = replace(config, network=replace(config.network, dense=0, dropout=0.0, spatial_dropout=0.0))
    model = trained(config)
    rng = np.random.default_rng(4)
    tokens = np.array([_padded(rng.integers(1, IDS, length), Side.RIGHT) for length in (0, 1, 5, LENGTH)], np.int32)

    def slopes(logits: Any) -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            found = logits()
            total = tf.reduce_sum(found * found)
        return found, [tf.convert_to_tensor(g).numpy() for g in tape.gradient(total, model.trainable_variables)]

    theirs, expected = slopes(lambda: model(tokens, training=True))
    ours, found = slopes(lambda: blocks.logits(model, tf.constant(tokens), is_masked=is_masked, training=True))

    assert np.abs(ours - theirs).max() <= 1e-5
    assert max(np.abs(a - b).max() for a, b in zip(expected, found, strict=True)) <= 1e-4
    assert min(np.abs(each).max() for each in expected) > 1e-3


def test_fits_when_a_recipe_hides_recurrent_states_then_keras_s_own_layer_is_used():
    assert blocks.fits(system([layer(Cell.LSTM)]).network)
    assert not blocks.fits(system([layer(Cell.LSTM, recurrent_dropout=0.3)]).network)
    assert not blocks.fits(system([layer(Cell.GRU)]).network)


def test_check_parity_when_the_network_learnt_on_then_the_old_graph_is_refused():
    config = system([layer(Cell.LSTM)])
    model = trained(config)
    graph = export(model, config, IDS).graph
    model.layers[-1].bias.assign([3.0])

    with pytest.raises(ExportParityError, match="differ by"):
        check_parity(model, config, graph, IDS)


def test_to_onnx_when_keras_s_own_layer_is_traced_then_its_loop_is_refused():
    config = system([layer(Cell.GRU)])
    model = trained(config)
    _, signature = network.serving(model, config)

    with pytest.raises(ExportParityError, match="slow node"):
        to_onnx(lambda tokens: {"logit": model(tokens)[:, 0]}, signature, recurrent_layers=1)


def test_unrolled_when_written_out_then_it_is_keras_s_layer_and_the_graph_weight_for_weight():
    config = find("unrolled-rnn").into(unrolled.UnrolledConfig)
    first, second = (np.array(step, np.float32) for step in config.steps)
    cell = unrolled.Cell.drawn(3, config)

    layer_ = unrolled.keras_layer(cell)
    states = unrolled.by_hand(cell, np.stack([first, second], axis=1))
    state0 = np.maximum(first @ cell.kernel + cell.bias, 0)
    state1 = np.maximum(state0 @ cell.recurrent + second @ cell.kernel + cell.bias, 0)

    assert first.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 0, 1]]
    assert second.tolist() == [[9, 8, 7], [0, 0, 0], [6, 5, 4], [3, 2, 1]]
    assert cell.kernel.shape == (3, 5)
    assert np.abs(states - np.stack([state0, state1], axis=1)).max() <= 1e-5
    assert all(
        np.array_equal(a, b)
        for a, b in zip(layer_.get_weights(), (cell.kernel, cell.recurrent, cell.bias), strict=True)
    )
    assert (states > 0).any()


def test_unrolled_when_exported_then_keras_and_graph_give_every_state():
    config = find("unrolled-rnn").into(unrolled.UnrolledConfig)
    inputs = np.array(config.steps, np.float32).transpose(1, 0, 2)
    cell = unrolled.Cell.drawn(3, config)
    layer_ = unrolled.keras_layer(cell)

    graph = unrolled.graph_of(layer_, config.activation)
    hand = unrolled.by_hand(cell, inputs)

    assert np.abs(run(graph, {"inputs": inputs}) - hand).max() <= 1e-5
    assert np.abs(keras.ops.convert_to_numpy(layer_(inputs)) - hand).max() <= 1e-5
    assert [node.op_type for node in onnx.load_from_string(graph).graph.node].count("RNN") == 1

"""What ``trainer predict`` says is what the daemon's own code says, and it names what it cannot read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.tokens import DEFAULT_HASHING
from filterd.core.verdict import Evidence
from filterd.errors import ChecksumMismatch, ContractMismatch
from filterd.inference.loaded import Scorer
from filterd.inference.registry import packaged_models
from tests.filterd.tiny_bundle import HAM_MAIL, POINTS, SPAM_MAIL, WEIGHTS, graph_bytes, write_bundle
from trainer.cli import app
from trainer.errors import ManifestError
from trainer.manifest import sha256
from trainer.predict import Prediction, as_row, predict
from trainer.publish import write_folder
from trainer.published.config import Cleaning, TextConfig
from trainer.published.tokenizer import Tokenizer


def bundle(folder: Path, channel: Channel) -> Path:
    return write_bundle(folder / f"bundle-{channel.value}", channel)


def system(folder: Path) -> Path:
    """A published system's folder whose graph adds up one weight per word: ``lottery`` 4, ``lunch`` -4."""
    table = np.array([[0.0], [0.0], [4.0], [-4.0]], np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["picked"]),
        helper.make_node("ReduceSum", ["picked", "axes"], ["logit"], keepdims=0),
    ]
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT32, ["b", 4])
    logit = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["b"])
    stored = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1, 2]), "axes")]
    graph = helper.make_graph(nodes, "sum", [tokens], [logit], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    config = TextConfig(cleaning=Cleaning.LETTERS, length=4)
    files = {
        "model.onnx": model,
        "tokenizer.json": Tokenizer(config=config, words=("lottery", "lunch")).to_json().encode(),
        "labels.json": json.dumps({"classes": ["wanted", "unwanted"], "threshold": 0.9}).encode(),
    }
    sums = {name: sha256(content) for name, content in files.items()}
    return write_folder(folder, {**files, "recipe.json": json.dumps({"files": sums}).encode()})


def test_predict_when_the_folder_is_a_published_system_s_then_its_labels_and_threshold_hold(tmp_path):
    folder = system(tmp_path / "sum-1")

    spam, ham, between = predict([b"Lottery!", b"lunch", b"nothing known"], folder, None)

    assert [each.label for each in (spam, ham, between)] == ["unwanted", "wanted", "wanted"]
    assert spam.probability == pytest.approx(1 / (1 + np.exp(-4)))
    assert between.probability == pytest.approx(0.5)
    assert (spam.model, spam.threshold, spam.words) == ("sum-1", 0.9, ())


def test_predict_when_a_file_of_a_published_system_was_changed_then_it_is_named(tmp_path):
    folder = system(tmp_path / "sum-1")
    (folder / "labels.json").write_text('{"classes": ["unwanted", "wanted"], "threshold": 0.9}')

    with pytest.raises(ChecksumMismatch, match=r"sum-1/labels\.json is not the file"):
        predict([b"x"], folder, None)


def test_predict_when_given_texts_then_label_and_words_are_the_bundle_s(tmp_path):
    spam, ham = predict([b"lottery winner", b"the agenda"], bundle(tmp_path, Channel.SMS), None)

    assert (spam.label, ham.label) == ("spam", "ham")
    assert {each.token: each.weight for each in spam.words} == {
        "lottery": pytest.approx(WEIGHTS["lottery"] / 5**0.5, abs=1e-4),  # five features in all
        "winner": pytest.approx(4.0 / 5**0.5, abs=1e-4),
    }
    assert spam.threshold == POINTS["normal"]
    assert spam.probability > 0.9
    assert ham.probability < 0.1


def test_predict_when_the_channel_is_email_then_whole_messages_are_read(tmp_path):
    spam, ham, bare = predict([SPAM_MAIL, HAM_MAIL, b"lottery winner"], bundle(tmp_path, Channel.EMAIL), Channel.EMAIL)

    assert (spam.label, ham.label, bare.label) == ("spam", "ham", "spam")


@pytest.mark.parametrize("channel", list(Channel))
def test_predict_when_no_bundle_is_named_then_it_is_the_package_s(channel):
    text = b"You have won a prize! Call 09061701461 to claim your cash now"
    scorer, _ = Scorer.open({channel: packaged_models() / channel.value}, ParseLimits())

    (made,) = predict([text], None, channel)

    scan = scorer.scan(channel, text)
    assert (made.probability, made.model, made.words) == (scan.probability, scan.model, scan.evidence)


def test_predict_when_the_bundle_is_of_another_channel_then_both_are_named(tmp_path):
    with pytest.raises(ContractMismatch, match="is a bundle of channel sms; leave --channel out"):
        predict([b"x"], bundle(tmp_path, Channel.SMS), Channel.EMAIL)


def test_predict_when_a_file_of_the_bundle_was_changed_then_it_is_named(tmp_path):
    folder = bundle(tmp_path, Channel.SMS)
    (folder / "model.onnx").write_bytes(graph_bytes(DEFAULT_HASHING[Channel.SMS], bias=9.0))

    with pytest.raises(ChecksumMismatch, match=r"bundle-sms/model\.onnx is not the file"):
        predict([b"x"], folder, None)


def test_predict_when_the_folder_is_no_model_s_then_it_says_what_is_missing(tmp_path):
    with pytest.raises(ManifestError, match=r"holds neither bundle\.json nor recipe\.json"):
        predict([b"x"], tmp_path, None)


def test_predict_command_when_asked_for_json_then_each_line_is_one_text(tmp_path):
    folder = bundle(tmp_path, Channel.SMS)

    done = CliRunner().invoke(app, ["predict", "-", "the agenda", "--bundle", str(folder), "--json"], "lottery\n")

    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["text"] == "lottery"
    assert first["words"] == [["lottery", 3.4641]]  # 6 over the root of three features
    assert (first["label"], second["label"]) == ("spam", "ham")
    assert first["model"] == json.loads((folder / "bundle.json").read_text())["id"]


def test_predict_command_when_run_then_probability_label_and_words_are_one_row(tmp_path):
    done = CliRunner().invoke(app, ["predict", "lottery", "--bundle", str(bundle(tmp_path, Channel.SMS))])

    assert done.stdout == "0.9820  spam   lottery +3.46\n"


def test_row_when_a_word_could_steer_a_terminal_then_it_cannot():
    prediction = Prediction(
        text="", model="m", probability=0.5, threshold=0.9, label="ham", words=(Evidence(token="\x1b[2J", weight=1.0),)
    )

    assert as_row(prediction) == "0.5000  ham    ?[2J +1.00"

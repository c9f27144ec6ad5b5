"""Every published system, small and on invented corpora, from its recipe to a folder that scores text by itself."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.errors import ChecksumMismatch
from filterd.inference.loaded import Scorer
from trainer.cli import app
from trainer.errors import CorpusError, ExportParityError, ManifestError, RecipeError, TrainingDiverged
from trainer.manifest import sha256
from trainer.measurement import Measurement
from trainer.published import card, lines, run
from trainer.published.config import CorpusName
from trainer.published.run import Outcome
from trainer.published.served import Served
from trainer.published.texts import read
from trainer.recipe import FOLDER, Kind, find, names

from .archives import pack, reviews_file, sentence

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore"),  # TensorFlow and tf2onnx warn of their own insides
]

SYSTEMS = [name for name in names() if find(name).kind is Kind.SEQUENCE]
FILES = {"model.onnx", "tokenizer.json", "labels.json", "report.json", "card.md", "curves.png", "recipe.json"}
PUBLISHED = {
    "basic-rnn": "96.2 %",
    "lstm-40": "99.97 %",
    "bilstm": "86.4 %",
    "stacked-bilstm": "86.4 %",
    "spatial-lstm": "96.5 %",
}
LAYERS = {"stacked-bilstm": 2, "stacked-bilstm-10k": 2}
HAM = "lunch after the school meeting tomorrow thanks friend"
SPAM = "urgent winner claim your cash prize bonus million"
MADE_UP = """
kind = "sequence"
title = "made up"
corpus = "sms-uci"
[text]
cleaning = "spaced"
length = 16
padding = "left"
[network]
embedding = 8
head = "softmax"
[[network.layers]]
cell = "gru"
units = 8
[fit]
optimizer = "adam"
learning_rate = 2e-2
batch = 16
epochs = 4
is_compiled = false
[protocol]
test_share = 0.25
"""


def nothing(*_: Any) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = random.Random(11)
    rows = [("spam" if i % 2 else "ham", sentence(rng, spam=bool(i % 2))) for i in range(240)]
    pack(folder / "sms-uci.tar.xz", {"SMSSpamCollection": "".join(f"{a}\t{b}\n" for a, b in rows).encode()})
    sms = "".join(f"{a},{b},uci-spam-sms\n" for a, b in rows[:160])
    comments = "".join(f"{a},{b},uci-youtube-spam\n" for a, b in rows[160:176]) * 5
    pack(folder / "sms-yt-combined.tar.xz", {"spam-dataset.csv": f"label,text,source\n{sms}{comments}".encode()})
    reviews_file(folder)
    return folder


@pytest.fixture(scope="module")
def fast(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a recipe's quick run, each of which is made once."""
    return cache(lambda name: train(name, data, tmp_path_factory.mktemp(name) / "out", is_fast=True).folder)


@pytest.fixture(scope="module")
def made_up(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("made-up")
    return train(recipe_file(folder, MADE_UP), data, folder / "out")


def recipe_file(folder: Path, text: str) -> str:
    path = folder / "made-up.toml"
    path.write_text(text)
    return str(path)


def train(name: str, data: Path, out: Path, *, is_fast: bool = False) -> Outcome:
    return lines.train(find(name), data, out, is_fast=is_fast, seed=None, progress=nothing, say=nothing)


def test_recipes_when_listed_then_every_published_system_is_there():
    published = {"basic-rnn", "bilstm", "lstm-40", "spatial-lstm", "stacked-bilstm", "stacked-bilstm-10k"}

    assert set(SYSTEMS) == published
    assert find("unrolled-rnn").kind is Kind.UNROLLED


@pytest.mark.parametrize("name", SYSTEMS)
def test_train_when_a_recipe_runs_fast_then_its_folder_is_whole_and_scores(fast, name):
    folder = fast(name)
    operators = [node.op_type for node in onnx.load(folder / "model.onnx").graph.node]
    report = json.loads((folder / "report.json").read_text())
    card = (folder / "card.md").read_text()
    manifest = json.loads((folder / "recipe.json").read_text())
    scores = Served.open(folder).predict([HAM, SPAM, "", SPAM * 40])

    assert {path.name for path in folder.iterdir()} == FILES
    assert manifest["files"] == {n: sha256((folder / n).read_bytes()) for n in FILES - {"recipe.json"}}
    assert manifest["id"] == folder.name
    assert not {"Loop", "Scan", "If"}.intersection(operators)
    assert sum(operator in {"LSTM", "GRU", "RNN"} for operator in operators) == LAYERS.get(name, 1)
    assert report["parity"] <= 1e-4
    assert len(report["parts"]) == 3
    assert PUBLISHED.get(name, "Published") in card
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert len(report["history"]["validation_accuracy"]) == 1
    assert ((scores > 0) & (scores < 1)).all()


def test_train_when_the_random_split_leaks_then_report_and_card_show_how_much(fast):
    folder = fast("spatial-lstm")

    leak = json.loads((folder / "report.json").read_text())["leak"]

    assert leak["youtube"]["seen"] > 0.7 * leak["youtube"]["rows"]
    assert leak["sms"]["seen"] == 0
    assert "word for word in training" in (folder / "card.md").read_text()


@pytest.mark.parametrize("name", ["bilstm", "stacked-bilstm"])
def test_train_when_padding_is_masked_then_a_text_beside_a_longer_one_keeps_its_logit(fast, name):
    served = Served.open(fast(name))

    report = json.loads((fast(name) / "report.json").read_text())

    assert report["padding_difference"] <= 1e-5
    assert served.outputs_together([HAM, " ".join([SPAM] * 3)])[0] == pytest.approx(
        served.outputs_together([HAM])[0], abs=1e-5
    )


def test_train_when_a_new_architecture_is_written_down_then_no_python_is_needed(made_up):
    operators = [node.op_type for node in onnx.load(made_up.folder / "model.onnx").graph.node]
    labels = json.loads((made_up.folder / "labels.json").read_text())
    ham, spam = Served.open(made_up.folder).predict([HAM, SPAM])

    assert operators.count("GRU") == 1
    assert "Softmax" in operators
    assert labels["classes"] == ["ham", "spam"]
    assert labels["tensors"]["probabilities"]["shape"][-1] == 2
    assert ham < 0.5 < spam


def test_report_when_read_then_its_figures_are_those_of_the_served_folder(made_up, data):
    rows = json.loads((made_up.folder / "report.json").read_text())["parts"]
    text = read(CorpusName.SMS_UCI, data)

    found = Served.open(made_up.folder).predict(text.texts)
    right = int(((found >= 0.5) == text.labels).sum())

    assert right == sum(each["spam_caught"] + each["ham"] - each["ham_lost"] for each in rows[:2])


def test_record_when_asked_for_then_measurement_and_small_curves_are_kept(made_up, tmp_path):
    made_up.record(tmp_path)

    kept = Measurement.read(tmp_path / "recipe-made-up.json")
    picture = tmp_path / "curves" / "made-up.png"

    assert kept.figures["parity"] <= 1e-4
    assert HAM not in (tmp_path / "recipe-made-up.json").read_text()
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 40_000


def test_open_when_a_file_was_changed_then_it_is_named(made_up, tmp_path):
    for path in made_up.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    words = (tmp_path / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(words.replace('"length": 16', '"length": 17'))

    with pytest.raises(ChecksumMismatch, match=r"tokenizer\.json"):
        Served.open(tmp_path)


def test_open_when_the_folder_scores_no_text_then_it_is_told(tmp_path, data):
    outcome = train("unrolled-rnn", data, tmp_path)

    with pytest.raises(ManifestError, match="no published system that scores text"):
        Served.open(outcome.folder)


def test_daemon_when_given_a_recipe_s_folder_then_it_refuses_and_names_the_missing_file(made_up):
    scorer, refused = Scorer.open({Channel.SMS: made_up.folder}, ParseLimits())

    assert f"{made_up.folder.name}/bundle.json: no such file" in str(refused[Channel.SMS])
    assert not scorer.models


def test_train_command_when_told_to_push_then_the_store_has_the_system(data, tmp_path):
    recipe = recipe_file(tmp_path, MADE_UP.replace("epochs = 4", "epochs = 1"))
    store = tmp_path / "store"

    done = CliRunner().invoke(
        app, ["train", "--recipe", recipe, "--data", str(data), "--out", str(tmp_path), "--push", str(store)]
    )
    folder = Path(done.stdout.strip().splitlines()[-1])

    assert done.exit_code == 0
    assert (store / "recipes" / folder.name / "model.onnx").read_bytes() == (folder / "model.onnx").read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "error", "words"),
    [
        pytest.param("2e-2", "1e38", TrainingDiverged, r"lower fit\.learning_rate", id="NaN loss"),
        pytest.param("embedding", "embeding", RecipeError, r"made-up\.toml: unknown key network\.embeding", id="key"),
        pytest.param('"gru"', '"gnu"', RecipeError, "expected one of simple-rnn, lstm, gru", id="cell"),
        pytest.param("length = 16", "min_count = 900\nlength = 16", RecipeError, "min_count", id="no words"),
        pytest.param('"sms-uci"', '"imdb-aclimdb"', CorpusError, "imdb-aclimdb.tar.xz", id="no corpus"),
    ],
)
def test_train_when_it_cannot_end_well_then_it_says_why_and_leaves_nothing(data, tmp_path, old, new, error, words):
    recipe = recipe_file(tmp_path, MADE_UP.replace(old, new, 1))
    corpora = tmp_path / "corpora"
    corpora.mkdir()
    (corpora / "sms-uci.tar.xz").symlink_to(data / "sms-uci.tar.xz")

    with pytest.raises(error, match=words):
        train(recipe, corpora, tmp_path / "out")

    assert not list(tmp_path.glob("out/**/*"))


@pytest.mark.parametrize(("module", "step"), [(run, "export"), (card, "render"), (Served, "open")])
def test_train_when_a_step_fails_then_no_folder_is_left(data, tmp_path, monkeypatch, module, step):
    def fail(*_: Any, **__: Any) -> None:
        raise ExportParityError("not this time")

    monkeypatch.setattr(module, step, fail)

    with pytest.raises(ExportParityError):
        train(recipe_file(tmp_path, MADE_UP.replace("epochs = 4", "epochs = 1")), data, tmp_path / "out")

    assert not list(tmp_path.glob("out/**/*"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--recipe", "lstm-41"], "basic-rnn, bilstm, email"),
        ([], "give --recipe or --channel"),
        (["--recipe", "sms", "--channel", "sms"], "not both"),
    ],
)
def test_train_command_when_the_recipe_is_unclear_then_it_says_what_there_is(options, words):
    done = CliRunner().invoke(app, ["train", *options])

    assert words in f"{done.output} {done.exception}"
    assert done.exit_code != 0


def test_predict_when_there_is_no_text_then_there_is_no_probability(made_up):
    assert Served.open(made_up.folder).predict([]).tolist() == []


def test_recipes_when_packaged_then_they_lie_beside_the_code():
    assert np.all([(FOLDER / f"{name}.toml").is_file() for name in names()])

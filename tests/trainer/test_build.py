"""The whole line on invented corpora: from archives to a bundle that the daemon's own code accepts and scores with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from filterd.core.bundle import POINT_NAMES, SPEC_FILE, BundleSpec
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.tokens import DEFAULT_HASHING
from filterd.inference.loaded import LoadedModel, Scorer
from trainer import build as line
from trainer import fit as middle
from trainer import train as training
from trainer.checkpoint import History
from trainer.cli import app
from trainer.config import defaults, quick
from trainer.corpora import prepare
from trainer.errors import CorpusError, ExportParityError, TrainingDiverged
from trainer.features import Encoded
from trainer.linear_path import Blend, LinearPath
from trainer.prepare import Split
from trainer.tracks import find
from trainer.tracks.context import Context
from trainer.train import Trained, built

from .archives import sms_folder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore"),  # TensorFlow and tf2onnx warn of their own insides
]


def nothing(*_: Any) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sms_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def bundle(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    return line.build(quick(defaults(Channel.SMS)), data, out, jobs=1, progress=nothing, say=nothing)


def test_build_when_it_ends_then_the_bundle_serves_and_tells_labels_apart(bundle):
    scorer, refused = Scorer.open({Channel.SMS: bundle}, ParseLimits())

    spam = scorer.scan(Channel.SMS, b"urgent winner claim your cash prize bonus million")
    ham = scorer.scan(Channel.SMS, b"lunch after the school meeting tomorrow thanks friend")

    assert not refused
    assert spam.logit is not None
    assert ham.logit is not None
    assert spam.logit > ham.logit + 1
    assert spam.evidence


def test_build_when_it_ends_then_spec_report_card_and_curves_are_there(bundle):
    spec = BundleSpec.from_json((bundle / SPEC_FILE).read_text())
    report = json.loads((bundle / "report.json").read_text())
    card = (bundle / "card.md").read_text()

    assert bundle.name == spec.id
    assert spec.corpus
    assert [spec.points[name] for name in POINT_NAMES] == sorted(spec.points.values(), reverse=True)
    assert {row["corpus"] for row in report["rows"]} >= {"uci", "super-latest", "super-legacy"}
    assert "UCI SMS Spam Collection" in card
    assert spec.id in card
    assert list(bundle.parent.glob("run-*/curves.png"))
    assert not (bundle / "curves.png").exists()


def test_held_out_track_when_evaluated_again_then_it_is_the_report_s(bundle, data):
    report = json.loads((bundle / "report.json").read_text())

    found = find("held-out")(Context(channel=Channel.SMS, data=data, bundle=bundle, jobs=1, is_fast=True))

    assert found.figures["rows"] == report["rows"]


def test_logits_when_scored_through_the_bundle_then_they_are_the_daemon_s(bundle):
    model = LoadedModel.open(bundle, ParseLimits())
    scorer, _ = Scorer.open({Channel.SMS: bundle}, ParseLimits())
    probe = json.loads((bundle / "probes.jsonl").read_text().splitlines()[0])

    assert scorer.scan(Channel.SMS, probe["raw"].encode("latin-1")).logit == pytest.approx(probe["logit"], abs=1e-6)
    assert model.spec.hashing.max_tokens == 96


@pytest.mark.parametrize(
    ("name", "error"),
    [("check_parity", ExportParityError), ("train", TrainingDiverged), ("serving_graph", ExportParityError)],
)
def test_build_when_a_step_fails_then_no_bundle_is_left(data, tmp_path, monkeypatch, name, error):
    def fail(*_: Any, **__: Any) -> None:
        raise error("not this time")

    if name != "train":
        monkeypatch.setattr(middle, "train", _untrained)
    monkeypatch.setattr(middle, name, fail)

    with pytest.raises(error):
        line.build(quick(defaults(Channel.SMS)), data, tmp_path, jobs=1, progress=nothing, say=nothing)

    assert not list(tmp_path.glob("**/bundle.json"))
    assert not list(tmp_path.glob(".draft-*"))


def _untrained(config: Any, part: Any, *_: Any) -> Any:
    blend = Blend(deep=1.0, linear=1.0, bias=0.0)
    path = LinearPath(wide=np.zeros(1, np.float32), grams=np.zeros(1, np.float32), bias=0.0)
    return Trained(model=built(config, part), history=History(), best_epoch=0, path=path, blend=blend)


def test_train_when_the_loss_is_not_a_number_then_it_stops_and_says_so(data):
    config = quick(defaults(Channel.SMS))
    prepared = prepare(config, data, 1, nothing, DEFAULT_HASHING[Channel.SMS])
    encoded, labels, names = prepared.part(Split.TRAIN)
    broken = Encoded(
        hashing=encoded.hashing,
        tokens=encoded.tokens,
        token_offsets=encoded.token_offsets,
        wide=encoded.wide,
        wide_offsets=encoded.wide_offsets,
        side=np.full_like(encoded.side, np.nan),
    )
    part = training.Part(encoded=broken, labels=labels, corpora=names, weights=np.full(len(labels), 1 / len(labels)))

    with pytest.raises(TrainingDiverged, match="lower the learning rate"):
        training.train(config, part, part, nothing)


def test_train_command_when_the_folder_is_wrong_then_the_corpus_is_named(tmp_path):
    result = CliRunner().invoke(app, ["train", "--channel", "sms", "--fast", "--data", str(tmp_path)])

    assert isinstance(result.exception, CorpusError)
    assert "sms-uci.tar.xz" in str(result.exception)


def test_train_when_interrupted_then_it_goes_on_from_the_last_epoch(data, tmp_path):
    config = replace(quick(defaults(Channel.SMS)), epochs=2)
    prepared = prepare(config, data, 1, nothing, DEFAULT_HASHING[Channel.SMS])
    encoded, labels, names = prepared.part(Split.TRAIN)
    part = training.Part(encoded=encoded, labels=labels, corpora=names, weights=np.full(len(labels), 1 / len(labels)))
    kept = tmp_path / "run.npz"
    steps: list[int] = []

    def stop_in_the_second(done: int, total: int, _: str) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(config, part, part, stop_in_the_second, kept)
    trained = training.train(config, part, part, lambda done, *_: steps.append(done), kept)

    assert min(steps) == max(steps) // 2 + 1
    assert len(trained.history.loss) == 2

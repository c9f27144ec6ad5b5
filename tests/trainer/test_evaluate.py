"""The command that measures, its pictures, and that what it measures is what ``filterd check`` says."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import filterd
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.inference.loaded import LoadedModel
from trainer import evaluate, figures
from trainer.cli import app
from trainer.example import Example, Label
from trainer.features import encode
from trainer.measurement import Measurement

from .archives import mail, sentence, sms_folder

MODELS = Path(filterd.__file__).parent / "models"


def texts(channel: Channel) -> list[bytes]:
    """Plain, long, empty, HTML, broken and foreign ones."""
    rng = random.Random(4)
    words = [sentence(rng, spam=spam) for spam in (True, False)]
    odd = [
        "Ваш код 481516, никому не сообщайте",
        "f\u200br\u200be\u200be pr1ze www.example.org/win",
        " ".join(words * 60),
        "",
    ]
    bodies = [text.encode() for text in (*words, *odd)]
    if channel is Channel.SMS:
        return [*bodies, "caf\u00e9 at 8?".encode("latin-1")]
    page = b"<html><body><p>Win <b>now</b></p><a href='http://example.org/x'>here</a></body></html>"
    html = b"From: A <a@example.org>\r\nSubject: hello\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
    broken = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nunfinished"
    return [*(mail("offer", body.decode()) for body in bodies), html, broken, b"no header at all"]


@pytest.mark.parametrize("channel", Channel)
def test_check_and_evaluate_when_they_score_the_same_messages_then_the_logits_are_the_same(channel, tmp_path):
    raws = texts(channel)
    for number, raw in enumerate(raws):
        (tmp_path / f"{number:02d}.eml").write_bytes(raw)
    model = LoadedModel.open(MODELS / channel, ParseLimits())
    examples = [Example(id=str(i), corpus="c", channel=channel, label=Label.HAM, raw=raw) for i, raw in enumerate(raws)]

    command = [sys.executable, "-m", "filterd.cli", "check", "--json", "--channel", channel, "--jobs", "1", tmp_path]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True, timeout=100)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    measured = evaluate.logits(model, encode(examples, model.spec.hashing).encoded)

    assert [Path(row["path"]).name for row in rows] == [f"{i:02d}.eml" for i in range(len(raws))]
    assert {row["model"] for row in rows} == {model.spec.id}
    assert [row["logit"] for row in rows] == list(measured)


def test_evaluate_command_when_the_track_is_unknown_then_it_says_which_there_are():
    done = CliRunner().invoke(app, ["evaluate", "--channel", "sms", "--track", "sideways"])

    assert done.exit_code == 1
    assert re.search(r"no track 'sideways'; choose one of held-out, static, time", str(done.exception))


def test_evaluate_command_when_the_track_needs_a_bundle_then_it_asks_for_one(tmp_path):
    done = CliRunner().invoke(app, ["evaluate", "--channel", "sms", "--data", str(tmp_path)])

    assert done.exit_code == 1
    assert "--bundle" in str(done.exception)


@pytest.mark.slow
def test_evaluate_command_when_held_out_is_measured_then_table_json_and_pictures_are_there(tmp_path):
    arguments = ["--channel", "sms", "--bundle", str(MODELS / "sms"), "--fast", "--jobs", "1"]
    data, out = sms_folder(tmp_path), tmp_path / "out"

    done = CliRunner().invoke(app, ["evaluate", *arguments, "--data", str(data), "--out", str(out)])

    assert done.exit_code == 0, done.output
    assert "| corpus | ham | spam | `lenient`: caught, ham lost |" in done.stdout
    found = Measurement.read(out / "held-out-sms.json")
    assert found.command == "trainer evaluate --track held-out --channel sms --bundle filterd/models/sms --fast"
    assert {row["corpus"] for row in found.figures["rows"]} >= {"uci", "templates-ham"}
    assert all((out / "plots" / name).read_bytes().startswith(b"\x89PNG") for name in found.figures["plots"])


def test_roc_points_when_counted_by_hand_then_they_agree():
    lost, caught = figures.roc_points(np.array([0.0, 2.0]), np.array([1.0, 2.0, 3.0]))

    assert list(lost) == pytest.approx([0, 0, 0.5, 0.5, 1])
    assert list(caught) == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])


def test_figures_when_drawn_twice_then_the_files_are_small_and_the_same(tmp_path):
    rng = np.random.default_rng(1)
    ham, spam = rng.normal(-2, 1, 200), rng.normal(2, 1, 200)
    probabilities = 1 / (1 + np.exp(-np.concatenate([ham, spam])))
    labels = np.repeat([0.0, 1.0], 200)

    def draw(folder: Path) -> list[Path]:
        at, areas = np.array([100, 1_000]), np.array([3.0, 0.2])
        return [
            figures.roc({"c": (ham, spam)}, folder / "roc.png"),
            figures.reliability_diagram(probabilities, labels, folder / "reliability.png"),
            figures.learning_curve({"online": (at, areas)}, folder / "curve.png"),
            figures.score_histogram(ham, spam, folder / "scores.png"),
        ]

    first, second = draw(tmp_path / "a"), draw(tmp_path / "b")

    for one, other in zip(first, second, strict=True):
        assert one.read_bytes().startswith(b"\x89PNG")
        assert one.read_bytes() == other.read_bytes()
        assert one.stat().st_size < 40_000

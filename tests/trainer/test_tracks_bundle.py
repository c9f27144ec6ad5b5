"""The tracks that measure a bundle, on invented corpora: the figures they promise are there, and mean what they say."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest

import filterd
from filterd.core.bundle import POINT_NAMES
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.tokens import Extractor
from filterd.inference.loaded import LoadedModel
from trainer.errors import TrainerError
from trainer.example import Example, Label
from trainer.measurement import Measurement
from trainer.tracks import find
from trainer.tracks.calibration import Part, _draws
from trainer.tracks.context import Context
from trainer.tracks.cost import _once
from trainer.tracks.header_facts import facts_of, headers_alone
from trainer.tracks.held_part import held_part
from trainer.tracks.white_box import borrowed_from

from .archives import sms_folder
from .mailboxes import mail_folder

MODELS = Path(filterd.__file__).parent / "models"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[Channel, Path]:
    return {
        Channel.SMS: sms_folder(tmp_path_factory.mktemp("sms")),
        Channel.EMAIL: mail_folder(tmp_path_factory.mktemp("email")),
    }


def context(folders: dict[Channel, Path], channel: Channel) -> Context:
    return Context(channel=channel, data=folders[channel], bundle=MODELS / channel, jobs=1, is_fast=True)


def kept(found: Measurement, folder: Path) -> Measurement:
    """As it is read back from its file; fails where a figure is no JSON."""
    text = found.write(folder).read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return Measurement.read(folder / f"{found.id}.json")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("channel", Channel)
def test_b12_robustness_when_it_is_measured_then_every_attack_has_recall_and_what_it_loses(folders, tmp_path, channel):
    found = kept(find("robustness")(context(folders, channel)), tmp_path)

    attacks = found.figures["attacks"]
    assert {"typos-10", "homoglyphs-100", "zero-width-characters", "good-words-30", "ham-messages-3"} <= set(attacks)
    assert ("hidden-display" in attacks) == (channel is Channel.EMAIL)
    assert all(0 <= each["recall"] <= 1 for each in attacks.values())
    assert attacks["good-words-30"]["ham_loss"] is None
    assert 0 <= attacks["typos-10"]["ham_loss"] <= 1
    assert "good-words-30" in found.figures["targets"]["15"]
    assert len(found.tables[0].rows) == len(attacks) + 1


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("channel", Channel)
def test_calibration_when_it_is_measured_then_errors_and_realised_loss_are_there(folders, tmp_path, channel):
    found = kept(find("calibration")(context(folders, channel)), tmp_path)

    assert 0 <= found.figures["ece"] <= 1
    assert 0 <= found.figures["brier"] <= 1
    assert set(found.figures["points"]) == set(POINT_NAMES)
    lost = [found.figures["points"][name]["lost"] for name in POINT_NAMES]
    assert lost == sorted(lost)
    assert "ECE" in found.figures["targets"]["18"]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("channel", Channel)
def test_cost_when_it_is_measured_then_speed_memory_and_size_are_there(folders, tmp_path, channel):
    found = kept(find("cost")(context(folders, channel)), tmp_path)

    assert found.figures["per_second_best"] >= found.figures["per_second"] > 0
    assert "learning_step_ms" in found.figures
    assert found.figures["p99_ms"] >= found.figures["p50_ms"] > 0
    assert found.figures["model_bytes"] == (MODELS / channel / "model.onnx").stat().st_size
    assert found.figures["rss_both_bytes"] > found.figures["rss_bytes"] > 10_000_000
    assert "p99" in found.figures["targets"]["19"]


def test_cost_process_when_the_bundle_is_none_then_the_error_names_its_folder(tmp_path):
    message = tmp_path / "message"
    message.write_bytes(b"hello")

    with pytest.raises(TrainerError, match=str(tmp_path)):
        _once(["sms", str(tmp_path), str(message)])


@pytest.mark.parametrize("track", ["held-out", "reports", "calibration", "robustness"])
def test_track_when_it_measures_a_bundle_and_none_is_named_then_it_says_so(track: str, tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="--bundle"):
        find(track)(Context(channel=Channel.SMS, data=tmp_path, jobs=1, is_fast=True))


@pytest.mark.slow
def test_held_part_when_the_corpora_are_others_then_it_says_that_the_split_is_not_the_bundle_s(folders):
    held = held_part(context(folders, Channel.SMS))

    assert not held.is_same_split
    assert "divided" in held.caveat()[0]


@pytest.mark.slow
def test_borrowed_when_the_model_has_a_table_then_good_words_are_ordered_by_its_weights(folders):
    held = held_part(context(folders, Channel.SMS))
    model = LoadedModel.open(MODELS / Channel.SMS, ParseLimits())
    assert model.weights is not None

    borrowed = borrowed_from(held, seed=1)

    read = Extractor(Channel.SMS, model.spec.hashing, ParseLimits())
    ids = [int(read(word.encode()).encoded.word_ids[-1]) for word in borrowed.good_words]

    assert borrowed.good_words
    assert [float(model.weights[i]) for i in ids] == sorted(float(model.weights[i]) for i in ids)
    assert all(word in " ".join(borrowed.ham_texts).casefold() for word in borrowed.good_words)


def test_draws_when_a_corpus_is_large_then_labels_and_corpora_are_alike():
    names = np.array(["large"] * 900 + ["small"] * 100)
    labels = np.array(([0.0] * 8 + [1.0] * 2) * 100, np.float32)
    part = Part(probabilities=labels.astype(np.float64), labels=labels, names=names)

    drawn = part.only(_draws(part, 3))

    assert abs(drawn.labels.mean() - 0.5) < 0.03
    assert abs((drawn.names == "small").mean() - 0.5) < 0.03


def test_headers_alone_when_only_the_author_tells_then_it_is_seen_and_when_nothing_does_it_is_chance():
    rng = random.Random(4)
    labels = np.array([i % 2 for i in range(200)], np.float32)
    told = facts_of([_mail(i, "spam.example.net" if i % 2 else "ham.example.org") for i in range(200)])
    mute = facts_of([_mail(i, rng.choice(("one.example.net", "two.example.org"))) for i in range(200)])
    train, test = np.arange(100, dtype=np.int64), np.arange(100, 200, dtype=np.int64)

    assert headers_alone(told, labels, train, test) < 1
    assert 25 < headers_alone(mute, labels, train, test) < 75


def _mail(number: int, site: str) -> Example:
    label = Label.SPAM if number % 2 else Label.HAM
    raw = f"From: a@{site}\r\nSubject: s\r\n\r\n{label}".encode()
    return Example(id=str(number), corpus="c", channel=Channel.EMAIL, label=label, raw=raw)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_reports_when_they_are_measured_then_every_effect_delay_and_kind_of_liar_has_figures(folders, tmp_path):
    found = kept(find("reports")(context(folders, Channel.SMS)), tmp_path)

    streams = {name: each for name, each in found.figures.items() if name != "malice"}
    assert streams
    for each in streams.values():
        assert {"frozen", "memory", "weights", "both", "both, 100 late", "both, 10 % noise"} <= set(each)
        assert each["frozen"]["reports"] == each["both"]["reports"] == each["messages"]
        assert 0 <= each["both"]["roca"] <= 100
    assert set(found.figures["malice"]) == {f"{a} {s:g}" for a in ("dictionary", "focused") for s in (0.01, 0.05, 0.2)}
    assert all(0 <= lost <= 100 for harm in found.figures["malice"].values() for lost in harm["harmed"])

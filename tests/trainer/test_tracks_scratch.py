"""The tracks that train networks of their own, on invented corpora: what they divide, and the figures they promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from filterd.core.envelope import Channel
from filterd.core.tokens import DEFAULT_HASHING
from trainer.errors import CorpusError, TrainerError
from trainer.example import Label
from trainer.features import stack
from trainer.measurement import Measurement
from trainer.metrics import accuracy, f1
from trainer.sources import sms_uci
from trainer.tracks import ablation, cross, find, names, scratch, static, time_order
from trainer.tracks.context import Context
from trainer.tracks.scratch import Pool, Scores, best_cut, shuffled
from trainer.train import Part

from .archives import reviews_file, sms_folder
from .mailboxes import mail_folder

slow = pytest.mark.slow
quiet = pytest.mark.filterwarnings("ignore")
"""TensorFlow and tf2onnx warn of their own insides."""


@pytest.fixture(scope="module")
def sms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sms_folder(tmp_path_factory.mktemp("sms"))


@pytest.fixture(scope="module")
def email(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mail_folder(tmp_path_factory.mktemp("email"))


def quick(channel: Channel, data: Path) -> Context:
    return Context(channel=channel, data=data, jobs=1, is_fast=True, seeds=(7, 11))


def kept(found: Measurement, folder: Path) -> Measurement:
    found.write(folder)
    return Measurement.read(folder / f"{found.id}.json")


@slow
@quiet
@pytest.mark.timeout(600)
def test_ablation_when_sms_is_measured_then_both_paths_add_up_and_each_has_figures(sms, tmp_path):
    found = kept(find("ablation")(quick(Channel.SMS, sms)), tmp_path)

    assert [row[0] for row in found.tables[0].rows] == [
        "as it ships",
        "deep path alone",
        "linear path alone",
        "the same, another seed",
    ]
    assert all(0 <= each["one_minus_roca"] < 40 for each in found.figures.values())


def test_ablation_when_corpora_are_taken_out_then_both_labels_are_drawn_as_often_as_each_other():
    rows = [(np.ones((2, 6), np.int32), np.ones(1, np.int32), np.zeros(1, np.float32))] * 4
    hashing = replace(DEFAULT_HASHING[Channel.SMS], side=("text_chars",))
    part = Part(
        encoded=stack(rows, hashing),
        labels=np.array([0, 1, 1, 0], np.float32),
        corpora=np.array(["a", "a", "modern", "a"]),
        weights=np.array([0.25, 0.125, 0.375, 0.25]),
    )

    left = ablation._without(part, ("modern",))

    assert left.weights.tolist() == [0.25, 0.5, 0.25]
    assert left.labels.tolist() == [0, 1, 0]


@slow
@quiet
@pytest.mark.timeout(600)
def test_reviews_when_our_network_reads_them_then_it_tells_them_apart_and_the_target_is_said(tmp_path):
    reviews_file(tmp_path, 150)

    found = kept(find("reviews")(quick(Channel.EMAIL, tmp_path)), tmp_path)

    assert found.figures["accuracy"] > 0.8
    assert set(found.figures["targets"]) == {"20"}


def test_reviews_when_the_channel_is_sms_then_the_other_one_is_named(tmp_path):
    with pytest.raises(TrainerError, match="--channel email"):
        find("reviews")(quick(Channel.SMS, tmp_path))

    assert "reviews" not in names(Channel.SMS)


@slow
@quiet
@pytest.mark.timeout(600)
def test_static_when_sms_is_divided_then_every_protocol_has_figures_and_a_target(sms, tmp_path):
    found = kept(find("static")(quick(Channel.SMS, sms)), tmp_path)

    uci = found.figures["protocols"]["UCI random 80/20"]
    assert set(found.figures["targets"]) == {"1", "2", "3", "4"}
    assert len(found.tables[0].rows) == 4
    assert all(len(values) == 1 for values in uci.values())
    assert min(uci["accuracy"]) > 0.8
    assert max(uci["one_minus_roca"]) < 10


@slow
@quiet
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("channel", "rows"), [(Channel.EMAIL, {"8", "13"}), (Channel.SMS, set())])
def test_time_when_older_is_trained_on_then_newer_is_ranked(sms, email, tmp_path, channel, rows):
    data = email if channel is Channel.EMAIL else sms

    found = kept(find("time")(quick(channel, data)), tmp_path)

    assert set(found.figures["targets"]) == rows
    for division in found.figures["divisions"].values():
        assert division["ham"] > 5
        assert division["spam"] > 5
        assert max(division["one_minus_roca"]) < 20


@slow
@quiet
@pytest.mark.timeout(600)
def test_cross_when_a_mail_corpus_is_left_out_then_f1_and_what_headers_tell_are_there(email, tmp_path):
    found = kept(find("cross")(quick(Channel.EMAIL, email)), tmp_path)

    left_out = found.figures["left_out"]["spamassassin"]
    assert left_out["f1"] > 0.7
    assert 0 <= left_out["headers_one_minus_roca"] <= 100
    assert found.figures["f1_worst"] <= found.figures["f1_mean"]
    assert found.figures["targets"]["14"].startswith("email: F1 mean")


@slow
@quiet
@pytest.mark.timeout(600)
def test_cross_when_an_sms_corpus_is_left_out_then_f1_is_there_and_headers_are_not(sms, tmp_path):
    found = kept(find("cross")(quick(Channel.SMS, sms)), tmp_path)

    assert found.figures["left_out"]["uci"]["f1"] > 0.7
    assert found.figures["left_out"]["uci"]["headers_one_minus_roca"] is None


def test_cross_when_a_corpus_is_left_out_then_no_copy_of_it_is_trained_on(monkeypatch, sms):
    seen: dict[str, Any] = {}

    def no_run(context, config, pool, train, validation, test):
        del context, config
        seen.update(train=train, validation=validation, test=test, pool=pool)
        raise StopIteration

    monkeypatch.setattr(cross, "run", no_run)
    fold = cross.Fold(name="uci", corpora=("uci",), without=("mishra-soni",))
    uci = list(sms_uci.read(sms / "sms-uci.tar.xz"))
    pool = _pool(["uci", "uci", "mishra-soni", *["super-legacy"] * 97], [0, 1, 2, 0, *range(4, 100)], uci)

    with pytest.raises(StopIteration):
        cross._result(quick(Channel.SMS, sms), pool, fold, None)

    assert list(seen["test"]) == [0, 1]
    assert sorted([*seen["train"], *seen["validation"]]) == list(range(4, 100))


@pytest.mark.parametrize(
    ("divide", "trained"), [(static._random, 72), (static._first_third, 24), (static._distinct, 36)]
)
def test_static_division_when_it_is_made_then_its_parts_are_apart_and_of_the_right_size(sms, divide, trained):
    uci = list(sms_uci.read(sms / "sms-uci.tar.xz"))
    pool = _pool(["uci"] * 100, [i // 2 * 2 for i in range(100)], uci)

    parts = divide(pool, 7)
    everything = np.concatenate(parts)

    assert len(np.unique(everything)) == len(everything)
    assert len(parts[0]) == trained
    if divide is static._distinct:
        assert len(np.unique(pool.clusters[everything])) == len(everything) == 50


def test_oldest_first_when_messages_are_dated_then_the_test_is_later_than_all_training(email):
    examples = scratch.read(quick(Channel.EMAIL, email), ("email-spamassassin.tar.xz",))
    pool = _pool(["spamassassin"] * len(examples), list(range(len(examples))), examples[::-1])

    order = time_order._oldest_first(pool, range(len(pool)))
    dates = [pool.examples[i].date for i in order]

    assert dates == sorted(dates)
    assert len(order) == len(examples)


def test_read_when_no_archive_of_the_channel_is_named_then_the_error_says_which(sms):
    with pytest.raises(CorpusError, match=r"email-spamassassin\.tar\.xz"):
        scratch.read(quick(Channel.SMS, sms), ("email-spamassassin.tar.xz",))


def test_shuffled_when_shares_are_given_then_the_parts_are_all_there_once():
    parts = shuffled(np.arange(50, dtype=np.int64), 3, 0.2, 0.1)

    assert [len(part) for part in parts] == [10, 5, 35]
    assert sorted(np.concatenate(parts)) == list(range(50))
    assert [list(part) for part in shuffled(np.arange(50, dtype=np.int64), 3, 0.2, 0.1)] == [list(p) for p in parts]


@pytest.mark.parametrize("figure", [accuracy, f1])
def test_best_cut_when_labels_are_apart_then_it_lies_in_the_middle_between_them(figure):
    part = Scores(
        logits=np.array([-4.0, -2.0, 2.0, 3.0]), labels=np.array([0, 0, 1, 1], np.float32), names=np.array(["c"] * 4)
    )

    assert best_cut(part, figure) == 0


def test_best_cut_when_a_ham_lies_among_the_spam_then_the_figure_decides():
    part = Scores(
        logits=np.array([-4.0, 0.0, 2.0, 3.0, 4.0]),
        labels=np.array([0, 1, 0, 1, 1], np.float32),
        names=np.array(["c"] * 5),
    )

    assert best_cut(part, lambda counts: -counts["ham_lost"]) > 2
    assert best_cut(part, lambda counts: counts["spam_caught"]) < 0


def _pool(names, clusters, examples) -> Pool:
    chosen = tuple(examples[: len(names)])
    return Pool(
        examples=chosen,
        encoded=stack([], DEFAULT_HASHING[Channel.SMS]),
        labels=np.array([example.label is Label.SPAM for example in chosen], np.float32),
        names=np.array(names),
        clusters=np.array(clusters, np.int64),
    )

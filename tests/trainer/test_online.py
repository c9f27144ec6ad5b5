"""The jig: what a system is told, what is counted, how people report, and what an attacker sends."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest

import filterd
from filterd.core.envelope import Channel
from trainer.errors import CorpusError, TrainerError
from trainer.example import Example, Label
from trainer.systems.online import Corrected, Online, OnlineRaw, Reader
from trainer.tracks import feedback, find, poison
from trainer.tracks.context import Context
from trainer.tracks.jig import Run, run
from trainer.tracks.streams import streams

from .archives import mail, pack, sentence, sms_folder
from .mailboxes import mail_folder

MODELS = Path(filterd.__file__).parent / "models"


def messages(count: int, *, seed: int = 1, recipient: str = "other@example.net") -> list[Example]:
    """Every second is spam."""
    rng = random.Random(seed)
    return [
        Example(
            id=f"{seed}/{i}",
            corpus="c",
            channel=Channel.EMAIL,
            label=Label.SPAM if i % 2 else Label.HAM,
            raw=mail("hello", sentence(rng, spam=bool(i % 2))).replace(b"other@example.net", recipient.encode()),
        )
        for i in range(count)
    ]


class Witness:
    """A system that writes down what it is told, and calls everything spam."""

    name = "witness"
    cut = 0.0

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def learn(self, examples: Sequence[Example]) -> None:
        self.told += [("learn", str(example.label)) for example in examples]

    def score(self, examples: Sequence[Example]) -> np.ndarray:
        self.told += [("score", example.id) for example in examples]
        return np.ones(len(examples))


def reported(mode: feedback.Mode, stream: list[Example], seed: int = 1, distance: float = -1.0) -> list[Label | None]:
    reporter = mode(stream, seed)
    return [reporter(example, distance) for example in stream]


def test_run_when_a_message_is_judged_then_its_report_comes_after():
    stream, witness = messages(2), Witness()

    run(witness, poison.clean(stream, 0), feedback.immediate(stream, 0))

    assert witness.told == [("score", "1/0"), ("learn", "ham"), ("score", "1/1"), ("learn", "spam")]


def test_run_when_an_attack_comes_then_it_is_learned_as_spam_and_not_counted():
    stream, witness = messages(50), Witness()

    found = run(witness, poison.dictionary(0.1, stream, 1), feedback.delayed(0)(stream, 0))

    assert [what for what in witness.told if what[0] == "learn"] == [("learn", "spam")] * 5
    assert len(found.scores) == 50
    assert found.reported == 0


@pytest.mark.parametrize("kind", [Online, OnlineRaw])
def test_online_when_every_message_is_reported_then_it_tells_labels_apart_better_and_better(kind):
    stream = messages(200)

    found = run(kind(Reader(Channel.EMAIL)), poison.clean(stream, 0), feedback.immediate(stream, 0))

    assert found.scores[0] == 0
    assert found.roca() < 2
    assert found.reported == 200


def test_corrected_when_nothing_is_reported_then_it_is_the_bundle_and_one_report_moves_it():
    stream = messages(4)
    reader = Reader(Channel.EMAIL, MODELS / "email")
    system = Corrected(reader)

    frozen = system.score(stream)
    system.learn([replace(stream[1], label=Label.HAM)])

    assert list(frozen) == [reader(example).logit for example in stream]
    assert system.score([stream[1]])[0] < frozen[1] - 1


def test_online_when_only_the_inbox_is_reported_then_reports_still_come_and_it_learns():
    stream = messages(300)

    found = run(Online(Reader(Channel.EMAIL)), poison.clean(stream, 0), feedback.one_sided(0.3)(stream, 1))

    assert found.reported > 20
    assert found.roca() < 25


def a_run(scores: list[float], spam: list[bool], reports: list[int] | None = None) -> Run:
    return Run(
        scores=np.array(scores),
        labels=np.array(spam),
        reports=np.array(reports or list(range(len(scores)))),
        targets=np.zeros(len(scores), bool),
        cut=0.5,
        reported=len(scores),
    )


def test_figures_when_counted_by_hand_then_they_agree():
    found = a_run([0.1, 0.9, 0.6, 0.4], [False, True, False, True]).figures()

    assert found["roca"] == 25.0
    assert found["hm"] == 50.0
    assert found["sm"] == 50.0
    assert found["lam"] == pytest.approx(50.0)


def test_efficiency_when_a_system_is_bad_for_two_hundred_messages_then_the_reports_until_it_was_good_count():
    scores = [0.5] * 200 + [float(i % 2) for i in range(9_800)]
    spam = [bool(i % 2) for i in range(10_000)]

    good = a_run(scores, spam).efficiency()

    # 100 of the first 200 are spam that ties with ham: they are 5 % of the spam once 4,000 messages have passed.
    assert good == 3_999


def test_efficiency_when_it_never_is_good_then_there_is_none():
    assert a_run([0.5] * 2_000, [bool(i % 2) for i in range(2_000)]).efficiency() is None


def test_curve_when_a_stream_is_shorter_than_the_first_mark_then_it_still_has_its_end():
    at, areas = a_run([0.1, 0.9, 0.6, 0.4], [False, True, False, True]).curve()

    assert at[-1] == 4
    assert areas[-1] == 25.0


def test_delayed_when_a_quarter_is_reported_then_it_is_the_first():
    found = reported(feedback.delayed(0.25), messages(8))

    assert found == [Label.HAM, Label.SPAM, *[None] * 6]


def test_partial_when_two_recipients_get_mail_then_the_one_with_more_of_both_labels_reports():
    stream = [*messages(10, seed=1, recipient="a@example.net"), *messages(30, seed=2, recipient="b@example.net")]

    found = reported(feedback.partial, stream)

    assert found[:10] == [None] * 10
    assert found[10:] == [example.label for example in stream[10:]]


def test_active_when_the_quota_is_one_per_cent_then_the_doubtful_are_asked_and_few():
    stream = messages(2_000)
    reporter = feedback.active(0.01)(stream, 1)

    asked = [reporter(example, 0.01 if i % 10 == 0 else 5.0) for i, example in enumerate(stream)]

    assert 25 <= sum(label is not None for label in asked) <= 31
    assert all(label is None for i, label in enumerate(asked) if i > 20 and i % 10)


def test_noisy_when_a_tenth_is_wrong_then_it_is_a_tenth_of_either_label():
    stream = messages(4_000)

    found = reported(feedback.noisy(0.1), stream)
    wrong = [label is not example.label for label, example in zip(found, stream, strict=True)]

    assert np.mean(wrong[0::2]) == pytest.approx(0.1, abs=0.02)
    assert np.mean(wrong[1::2]) == pytest.approx(0.1, abs=0.02)


def test_newsletters_when_three_in_ten_are_called_spam_then_other_messages_keep_their_labels():
    plain = messages(100)
    letters = [
        Example(
            id=f"n{i}", corpus="c", channel=Channel.EMAIL, label=Label.HAM, raw=mail("news", "Unsubscribe here please")
        )
        for i in range(400)
    ]

    found = reported(feedback.newsletters(0.3), [*plain, *letters])

    assert found[:100] == [example.label for example in plain]
    assert np.mean([label is Label.SPAM for label in found[100:]]) == pytest.approx(0.3, abs=0.07)


def test_newsletter_when_only_a_header_speaks_of_leaving_then_it_is_none():
    post = Example(
        id="p",
        corpus="c",
        channel=Channel.EMAIL,
        label=Label.HAM,
        raw=mail("re: kernel", "it works", extra="List-Unsubscribe: <mailto:x@example.org>\r\n"),
    )
    letter = replace(post, raw=mail("news", "Click to unsubscribe"))

    assert not feedback.is_newsletter(post)
    assert feedback.is_newsletter(letter)


def test_one_sided_when_a_message_was_held_then_nobody_reports_it():
    stream = messages(1_000)

    shown = reported(feedback.one_sided(0.3), stream, distance=-1)
    held = reported(feedback.one_sided(0.3), stream, distance=1)

    assert held == [None] * 1_000
    assert np.mean([label is not None for label in shown]) == pytest.approx(0.3, abs=0.05)


def test_dictionary_when_one_per_cent_is_sent_then_it_carries_the_words_of_the_ham():
    stream = messages(300)

    items = poison.dictionary(0.01, stream, 5)
    attacks = [item.example for item in items if item.is_attack]
    ham = b" ".join(example.raw.lower() for example in stream if example.label is Label.HAM)

    assert len(attacks) == 3
    assert [item.example for item in items if not item.is_attack] == stream
    assert all(word in ham for word in attacks[0].raw.partition(b"\n\n")[2].split()[:50])


def test_focused_when_a_ham_is_a_target_then_the_attacks_come_before_it():
    stream = messages(200)

    items = poison.focused(4, stream, 5)
    targets = [i for i, item in enumerate(items) if item.is_target]

    assert len(targets) == 4
    assert all(items[i].example.label is Label.HAM for i in targets)
    assert sum(item.is_attack for item in items) == 20
    assert not any(item.is_attack for item in items[targets[-1] :])


def test_streams_when_a_corpus_lists_its_copies_then_they_are_left_out_and_dates_ascend(tmp_path):
    found = {stream.name: stream for stream in streams(Channel.EMAIL, mail_folder(tmp_path))}

    contest = found["csdmc2010"].examples
    assert "TRAINING/T3.eml" not in {example.id for example in contest}
    assert len(contest) == 79
    for stream in found.values():
        dates = [example.date for example in stream.examples if example.date]
        assert dates == sorted(dates)


def test_streams_when_a_corpus_has_one_label_then_the_error_names_its_file(tmp_path):
    path = pack(tmp_path / "sms-uci.tar.xz", {"SMSSpamCollection": b"ham\tone\nham\ttwo\n"})

    with pytest.raises(CorpusError, match=str(path)):
        streams(Channel.SMS, tmp_path)


def test_find_when_there_is_no_such_track_then_the_error_lists_those_there_are():
    with pytest.raises(TrainerError, match="held-out, static"):
        find("sideways")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("channel", Channel)
def test_online_track_when_measured_in_haste_then_every_mode_and_attack_has_figures(tmp_path, channel):
    data = sms_folder(tmp_path) if channel is Channel.SMS else mail_folder(tmp_path)
    plots = tmp_path / "plots"
    context = Context(channel=channel, data=data, bundle=MODELS / channel, plots=plots, jobs=1, is_fast=True)

    found = find("online")(context)

    first = found.figures["uci" if channel is Channel.SMS else "spamassassin"]
    assert {"online", "online, raw octets", "char-4-gram logistic regression"} <= set(first["systems"])
    assert {"delayed", "active 1 %", "noise 10 %", "one-sided"} <= set(first["modes"])
    assert {"partial", "newsletters 30 %"} <= set(first["modes"]) or channel is Channel.SMS
    assert all(run["reports"] for runs in first["modes"].values() for run in runs)
    assert set(first["attacks"]) == {"dictionary 1 %", "dictionary 5 %", "focused"}
    assert first["systems"]["online"]["roca"] < 10
    assert found.figures["bundle"]
    assert all((plots / name).read_bytes().startswith(b"\x89PNG") for name in found.figures["plots"])
    if channel is Channel.EMAIL:
        assert set(found.figures["targets"]) == {"7", "16", "17"}

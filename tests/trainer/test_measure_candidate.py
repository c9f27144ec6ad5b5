"""Candidate and incumbent are asked the same questions, and the gate refuses what a dictionary attack leaves."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import filterd
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.token_codec import hashing_key, pack
from filterd.core.tokens import DEFAULT_HASHING, Extractor
from filterd.core.verdict import Label as GivenLabel
from filterd.feedback_ports import LabelledInput
from tests.filterd.tiny_bundle import graph_bytes, write_bundle
from trainer.cli import app
from trainer.errors import CorpusError, GateError
from trainer.example import Label
from trainer.gate import compare
from trainer.gate_rules import Passed
from trainer.golden import CORPUS, Golden, fingerprints, read
from trainer.measure_candidate import FAST_MOST, cases_of, measure
from trainer.slices import lengths_of, names_of, script_of
from trainer.sources.modern import FOLDER, Part, written

from .test_feedback import given_label

MODELS = Path(filterd.__file__).parent / "models"
SMS = Channel.SMS
HASHING = DEFAULT_HASHING[SMS]


@pytest.fixture(scope="module")
def sets() -> Golden:
    return read(SMS, most=FAST_MOST)


@pytest.fixture(scope="module")
def incumbent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    weights = {"prize": 3.0, "claim": 3.0, "verify": 2.0, "account": 1.0, "thanks": -2.0, "tomorrow": -2.0}
    return write_bundle(tmp_path_factory.mktemp("one"), SMS, model=graph_bytes(HASHING, weights, -1.0), id="sms-one")


def common_words(count: int) -> list[str]:
    """Words that most ham of the package has."""
    texts = [m.text for m in written(FOLDER / "sms") if m.label is Label.HAM and m.part is Part.TRAIN]
    words = Counter(
        w for text in texts for w in set(text.lower().split()) if w.isascii() and w.isalpha() and len(w) > 1
    )
    return [word for word, _ in words.most_common(count)]


def an_input(n: int, text: bytes, label: GivenLabel = GivenLabel.SPAM) -> LabelledInput:
    """A label on a message that was read as a model of today reads it."""
    tokens = Extractor(SMS, HASHING, ParseLimits())(text).tokens
    return replace(given_label(n, label), channel=SMS, hashing=hashing_key(HASHING), tokens=pack(tokens, HASHING))


def test_golden_when_none_is_given_then_it_is_of_both_labels_and_never_of_the_training_part():
    frozen = read(SMS)
    ids = {case.example.id for case in frozen.golden}
    parts = {message.id: message.part for message in written(FOLDER / "sms")}

    assert ids == frozen.held_back
    assert Counter(case.is_spam for case in frozen.golden)[True] > 100
    assert Counter(case.is_spam for case in frozen.golden)[False] > 100
    assert {parts[case.example.id] for case in frozen.tripwire} == {Part.TRIPWIRE}
    assert not ids & {example.id for example in frozen.lenders}
    assert all(case.example.corpus == CORPUS and case.language for case in frozen.golden)


def test_golden_when_read_again_then_it_is_the_same_and_a_sample_is_part_of_it(sets):
    whole = {case.example.id for case in read(SMS).golden}

    assert sets == read(SMS, most=FAST_MOST)
    assert {case.example.id for case in sets.golden} < whole
    assert Counter(case.is_spam for case in sets.golden) == {True: FAST_MOST, False: FAST_MOST}


def test_golden_when_the_operator_has_one_then_it_is_read_from_ham_and_spam(tmp_path):
    for label, text in (("ham", b"see you at lunch"), ("spam", b"claim your prize")):
        (tmp_path / label).mkdir()
        (tmp_path / label / "one").write_bytes(text)

    frozen = read(SMS, tmp_path)

    assert [(case.example.raw, case.is_spam) for case in frozen.golden] == [
        (b"see you at lunch", False),
        (b"claim your prize", True),
    ]
    assert len(frozen.tripwire) > 100


def test_golden_when_the_folder_is_not_one_then_the_error_says_how_it_should_be(tmp_path):
    with pytest.raises(CorpusError, match="ham and spam"):
        read(SMS, tmp_path)
    (tmp_path / "ham").mkdir()
    (tmp_path / "spam").mkdir()
    with pytest.raises(CorpusError, match="holds no message"):
        read(SMS, tmp_path)


def test_fingerprints_when_messages_repeat_then_each_text_has_one(sets):
    found = fingerprints((*sets.golden, *sets.golden), HASHING)

    assert 1 < len(found) <= len(sets.golden)
    assert fingerprints((), HASHING) == frozenset()


def test_measure_when_both_are_the_same_then_every_figure_is_and_nothing_is_left_out(incumbent, sets):
    labels = [an_input(1, b"claim your prize"), an_input(2, b"see you tomorrow thanks", GivenLabel.HAM)]
    foreign = replace(an_input(3, b"another"), hashing="0123456789ab")
    cases = cases_of(SMS, sets, [*labels, foreign], [case.example for case in sets.golden[:4]], is_fast=True)

    one, other = measure(incumbent, incumbent, cases)

    for name in ("golden", "tripwire", "newest", "common_words", "corpora"):
        assert np.array_equal(getattr(one, name).probabilities, getattr(other, name).probabilities), name
    assert one.golden is not None
    assert len(one.golden.ids) == 2 * FAST_MOST
    assert {"sms", "script latin", "language en", "length short"} <= set(one.golden.slice_names())
    assert one.newest is not None
    assert (one.newest.ids, one.newest.is_held.tolist()) == (("1", "2"), [True, False])
    assert one.corpora is not None
    assert one.corpora.slice_names() == (CORPUS,)
    assert {"typos-10", "homoglyphs-100", "ham-messages-3"} <= one.attacked.keys()
    assert not [name for name in one.attacked if name.startswith("good-words")]
    assert one.milliseconds is not None
    assert 0 < one.milliseconds < 1000
    assert one.megabytes == pytest.approx((incumbent / "model.onnx").stat().st_size / 1e6)


def test_measure_when_the_bundles_are_of_another_channel_then_it_is_refused(sets):
    with pytest.raises(GateError, match="channel"):
        measure(MODELS / "email", MODELS / "email", cases_of(SMS, sets, is_fast=True))


def test_gate_when_common_words_of_ham_were_learned_as_spam_then_the_candidate_is_refused(incumbent, sets, tmp_path):
    """What reports of a dictionary attack do to a linear path: every common word a little spammier."""
    weights = dict.fromkeys(common_words(120), 0.25)
    usual = {"prize": 3.0, "claim": 3.0, "verify": 2.0, "account": 1.0, "thanks": -2.0, "tomorrow": -2.0}
    poisoned = write_bundle(tmp_path, SMS, model=graph_bytes(HASHING, weights | usual, -1.0), id="sms-two")

    result = compare(*measure(poisoned, incumbent, cases_of(SMS, sets, is_fast=True)))

    assert not result.is_promoted
    failed = {each.rule for each in result.findings if each.passed is Passed.NO}
    assert "poisoning" in failed


def test_gate_when_asked_at_the_command_line_then_the_exit_code_and_the_table_say_the_verdict(incumbent, tmp_path):
    held = write_bundle(tmp_path, SMS, model=graph_bytes(HASHING, {"lunch": 1.0}, 3.0), id="sms-two")
    command = ["gate", str(held), "--against", str(incumbent), "--fast"]

    refused = CliRunner().invoke(app, command)
    as_json = CliRunner().invoke(app, [*command, "--json"])
    promoted = CliRunner().invoke(app, ["gate", str(incumbent), "--against", str(incumbent), "--fast"])

    assert (refused.exit_code, promoted.exit_code) == (1, 0)
    assert "**refused**" in refused.stdout
    assert "| modern ham | failed |" in refused.stdout
    tree = json.loads(as_json.stdout)
    assert (tree["candidate"], tree["incumbent"], tree["promoted"]) == ("sms-two", "sms-one", False)
    assert {"newest labels", "speed"} <= {each["rule"] for each in tree["rules"]}


@pytest.mark.parametrize(
    ("words", "script"),
    [
        (["<body>", "hello"], "latin"),
        (["привет", "ok"], "cyrillic"),
        (["你好"], "cjk"),
        (["こんにちは"], "cjk"),
        (["123", "<url>"], "none"),
    ],
)
def test_script_when_words_are_read_then_most_letters_decide(words, script):
    assert script_of(words) == script


def test_lengths_when_messages_differ_then_each_third_has_its_name():
    assert lengths_of([1, 2, 3, 50, 51, 52, 900, 901, 902]) == [*["short"] * 3, *["middle"] * 3, *["long"] * 3]
    assert lengths_of([]) == []
    assert names_of("sms", "latin", "", "short") == ("sms", "script latin", "length short")

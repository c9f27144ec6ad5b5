"""bogofilter is found where it may be, and learns and scores what it is given."""

from __future__ import annotations

import os
import random

import pytest

from filterd.core.envelope import Channel
from trainer.baselines import bogofilter_scores, find_bogofilter
from trainer.errors import ToolMissing, TrainerError
from trainer.example import Example, Label

from .archives import mail, sentence


def messages(count: int, seed: int) -> list[Example]:
    rng = random.Random(seed)
    return [
        Example(
            id=f"{i}",
            corpus="c",
            channel=Channel.EMAIL,
            label=Label.SPAM if i % 2 else Label.HAM,
            raw=mail("hello", sentence(rng, spam=bool(i % 2))),
        )
        for i in range(count)
    ]


def test_find_bogofilter_when_it_is_named_then_that_one_is_used(tmp_path):
    assert find_bogofilter({"BOGOFILTER": str(tmp_path / "b")}) == tmp_path / "b"


def test_find_bogofilter_when_it_is_nowhere_then_the_error_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setattr("trainer.baselines._ASIDE", tmp_path)

    with pytest.raises(ToolMissing, match=r"fetch\.sh"):
        find_bogofilter({"PATH": str(tmp_path)})


def test_bogofilter_scores_when_the_program_fails_then_it_is_told(tmp_path):
    program = tmp_path / "bin" / "bogofilter"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    program.chmod(0o755)

    with pytest.raises(TrainerError, match="broken"):
        bogofilter_scores(program, messages(2, 1), messages(2, 2))


@pytest.mark.real
def test_bogofilter_scores_when_trained_then_spam_scores_above_ham():
    try:
        program = find_bogofilter(os.environ)
    except ToolMissing as exc:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(exc))
    held_out = messages(20, 2)

    scores = bogofilter_scores(program, messages(200, 1), held_out)
    ham = [s for s, e in zip(scores, held_out, strict=True) if e.label is Label.HAM]
    spam = [s for s, e in zip(scores, held_out, strict=True) if e.label is Label.SPAM]

    assert max(ham) < min(spam)

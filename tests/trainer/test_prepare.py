"""Near-duplicates stay together, time is respected, and the same examples give the same corpus."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filterd.core.envelope import Channel
from trainer.config import SplitConfig
from trainer.errors import CorpusError
from trainer.example import Example, Label
from trainer.prepare import Split, assemble, capped, cluster, fold

from .archives import sentence

_START = datetime(2002, 1, 1, tzinfo=UTC)


def example(
    number: object,
    text: str,
    *,
    label: Label = Label.HAM,
    corpus: str = "c",
    date: datetime | None = None,
    group: str = "",
) -> Example:
    return Example(
        id=f"{number}", corpus=corpus, channel=Channel.SMS, label=label, raw=text.encode(), date=date, group=group
    )


def examples_of(count: int, *, seed: int = 1, dated: bool = False) -> list[Example]:
    rng = random.Random(seed)
    made = []
    for i in range(count):
        spam = bool(i % 2)
        date = _START + timedelta(days=rng.randrange(900)) if dated else None
        made.append(example(i, sentence(rng, spam=spam, words=18), label=Label.SPAM if spam else Label.HAM, date=date))
    return made


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Call 09061 now! http://a.example/x", "CALL 12345 now http://b.example/y"),
        ("a tokenised , copy .", "A tokenised copy"),
        ("\uff26\uff32\uff25\uff25 money", "free money"),
    ],
)
def test_fold_when_only_case_digits_spacing_or_links_differ_then_texts_are_equal(left, right):
    assert fold(left) == fold(right)


def test_cluster_when_words_are_changed_then_the_copies_join_and_strangers_do_not():
    rng = random.Random(3)
    first, other = (sentence(rng, spam=True, words=60) for _ in range(2))
    changed = first.split()
    changed[10] = "different"

    clusters = cluster([fold(first), fold(other), fold(" ".join(changed)), fold(first)])

    assert clusters.tolist() == [0, 1, 0, 0]


def test_cluster_when_texts_are_short_then_only_equal_ones_join():
    assert cluster(["ok", "ok", "no", ""]).tolist() == [0, 0, 2, 3]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.booleans())
def test_assemble_when_messages_repeat_then_no_cluster_is_on_two_sides(seed, copies, dated):
    rng = random.Random(seed)
    made = examples_of(60, seed=seed, dated=dated)
    for i, each in enumerate(rng.choices(made, k=copies * 10)):
        date = each.date and each.date + timedelta(days=400)
        text = each.raw.decode().upper() + f" {rng.randrange(1000)}"
        made.append(example(f"copy{i}", text, label=each.label, date=date))

    try:
        corpus = assemble(made, [e.raw.decode() for e in made], SplitConfig())
    except CorpusError:
        return
    sides = defaultdict(set)
    for root, side in zip(corpus.clusters.tolist(), corpus.splits, strict=True):
        sides[root].add(side)

    assert all(len(each) == 1 for each in sides.values())
    assert len(sides) < len(made)


@pytest.mark.parametrize("label", list(Label))
def test_assemble_when_examples_have_dates_then_each_label_is_tested_on_its_newest(label):
    made = examples_of(200, dated=True)

    corpus = assemble(made, [e.raw.decode() for e in made], SplitConfig())
    dates = {side: [made[i].date for i in corpus.where(side) if made[i].label is label] for side in Split}

    assert max(dates[Split.TRAIN]) <= min(dates[Split.VALIDATION])
    assert max(dates[Split.VALIDATION]) <= min(dates[Split.TEST])


def test_assemble_when_an_old_message_comes_again_then_the_copy_is_not_in_the_test():
    made = examples_of(200, dated=True)
    oldest = min(made, key=lambda e: e.date or _START)
    made.append(example("again", oldest.raw.decode(), label=oldest.label, date=_START + timedelta(days=2000)))

    corpus = assemble(made, [e.raw.decode() for e in made], SplitConfig())

    assert corpus.splits[-1] is Split.TRAIN


def test_assemble_when_groups_are_held_out_then_they_are_nowhere_else():
    rng = random.Random(2)
    made = examples_of(200)
    made += [example(f"t{i}", sentence(rng, spam=False, words=18), corpus="t", group=f"g{i % 3}") for i in range(30)]
    config = SplitConfig(held_groups={"t": {"g1": "validation", "g2": "test"}})

    corpus = assemble(made, [e.raw.decode() for e in made], config)
    found = {(e.group, s) for e, s in zip(made, corpus.splits, strict=True) if e.group}

    assert found == {("g0", Split.TRAIN), ("g1", Split.VALIDATION), ("g2", Split.TEST)}


def test_assemble_when_run_twice_then_the_manifest_is_the_same():
    made = examples_of(120)
    texts = [e.raw.decode() for e in made]

    assert assemble(made, texts, SplitConfig()).manifest() == assemble(made, texts, SplitConfig()).manifest()


@pytest.mark.parametrize(
    ("made", "words"),
    [
        pytest.param([], "no example", id="empty"),
        pytest.param([example(i, f"text number {i}") for i in range(9)], "needs both labels", id="single label"),
        pytest.param(
            [example(i, "the very same words", label=Label.SPAM if i % 2 else Label.HAM) for i in range(40)],
            "all repeats",
            id="all repeats",
        ),
    ],
)
def test_assemble_when_nothing_can_be_learned_then_the_corpus_is_refused(made, words):
    with pytest.raises(CorpusError, match=words):
        assemble(made, [e.raw.decode() for e in made], SplitConfig())


def test_capped_when_caps_are_set_then_they_hold_per_label_and_group_whatever_the_order():
    made = [
        example(i, f"{i}", label=Label.SPAM if i % 2 else Label.HAM, group=f"g{i % 4}", corpus="c") for i in range(80)
    ]
    config = SplitConfig(caps={"c/ham": 7}, group_caps={"c": 5})

    chosen = capped(made, config)

    assert sum(e.label is Label.HAM for e in chosen) == 7
    assert max(np.unique([e.group for e in chosen], return_counts=True)[1]) <= 5
    assert capped(made[::-1], config) == chosen


def test_assemble_when_a_corpus_is_divided_by_group_then_a_group_is_on_one_side():
    rng = random.Random(4)
    made = examples_of(200)
    made += [
        example(f"o{i}", sentence(rng, spam=False, words=18), corpus="own-modern", group=f"{i % 40}")
        for i in range(160)
    ]

    corpus = assemble(made, [e.raw.decode() for e in made], SplitConfig())
    sides = defaultdict(set)
    for each, side in zip(made, corpus.splits, strict=True):
        sides[each.corpus, each.group].add(side)
    own = [found for (name, _), found in sides.items() if name == "own-modern"]

    assert all(len(found) == 1 for found in own)
    assert set.union(*own) == set(Split)

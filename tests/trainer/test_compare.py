"""Filters are compared on the same messages, and a win is claimed only where the interval allows it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from filterd.core.envelope import Channel
from trainer import compare, comparison
from trainer.cli import app
from trainer.comparison import Facts, Scored
from trainer.errors import ToolMissing, TrainerError
from trainer.example import Example, Label
from trainer.measurement import Measurement
from trainer.systems import programs
from trainer.tracks.context import Context

from .archives import sms_folder

BUNDLE = Path(__file__).parents[2] / "filterd/models/sms"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sms_folder(tmp_path_factory.mktemp("data"))


def made(corpora: Sequence[tuple[str, int, int]]) -> Facts:
    """A test with so many ham and spam of each corpus, every message a cluster of its own."""
    labels = [label for _, ham, spam in corpora for label in [0.0] * ham + [1.0] * spam]
    names = [name for name, ham, spam in corpora for _ in range(ham + spam)]
    return Facts(
        labels=np.array(labels, np.float32), corpora=np.array(names), clusters=np.arange(len(labels), dtype=np.int64)
    )


def scored(name: str, scores: NDArray[np.float64], positions: NDArray[np.int64] | None = None) -> Scored:
    where = np.arange(len(scores), dtype=np.int64) if positions is None else positions
    return Scored(name=name, cut=0.5, positions=where, scores=scores, learned=10, learn_seconds=0.02)


def noisy(test: Facts, width: float, seed: int) -> NDArray[np.float64]:
    """Scores about the label, the wider the worse."""
    return np.asarray(test.labels + np.random.default_rng(seed).normal(size=len(test.labels)) * width, np.float64)


def test_rows_when_ours_is_better_worse_or_alike_then_the_verdict_says_so():
    test = made([("a", 300, 300)])
    ours = scored("ours", noisy(test, 0.6, 1))
    theirs = [
        scored("poor", noisy(test, 1.5, 2)),
        scored("good", noisy(test, 0.3, 3)),
        scored("like", 2 * ours.scores),
    ]

    verdicts = {(row.system, row.corpus): row.verdict for row in comparison.rows(test, ours, theirs)}

    assert [verdicts[name, "a"] for name in ("ours", "poor", "good", "like")] == ["-", "win", "lose", "undecided"]
    assert verdicts["poor", "all"] == "win"


def test_rows_when_a_filter_scored_a_sample_then_ours_is_counted_on_that_sample():
    test = made([("a", 40, 40)])
    ours = scored("ours", np.where(np.arange(80) < 10, 0.9, test.labels * 0.8))  # the first ten ham are lost
    sample = np.array([*range(5, 25), *range(50, 70)], np.int64)

    row = comparison.rows(test, ours, [scored("slow", noisy(test, 0.5, 1)[sample], sample)])[-1]

    assert (row.ham, row.spam) == (20, 20)
    assert row.our_loss == 5 / 20


def test_rows_when_its_cut_is_moved_to_our_ham_loss_then_catches_are_counted_there():
    test = made([("a", 4, 4)])
    ours = scored("ours", np.array([0.1, 0.2, 0.3, 0.9, 0.2, 0.6, 0.7, 0.8]))  # loses a quarter
    theirs = scored("other", np.array([0.1, 0.2, 0.3, 0.31, 0.25, 0.305, 0.4, 0.45]))  # its own cut catches nothing

    row = comparison.rows(test, ours, [theirs])[-1]

    assert (row.caught.estimate, row.caught_at_our_loss.estimate, row.ours_caught.estimate) == (0.0, 0.75, 0.75)


def test_rows_when_a_corpus_has_ham_only_then_there_is_no_area_and_no_verdict():
    test = made([("a", 20, 20), ("ham", 15, 0)])

    row = next(r for r in comparison.rows(test, scored("ours", noisy(test, 1, 1)), []) if r.corpus == "ham")

    assert (row.ham, row.spam, row.verdict) == (15, 0, "-")
    assert math.isnan(row.roca.estimate)
    assert math.isnan(row.caught.estimate)


def test_figures_when_something_is_no_number_then_json_still_holds_them():
    test = made([("ham", 15, 0), ("a", 20, 20)])
    ours = scored("ours", noisy(test, 1, 1))

    tree = comparison.figures(comparison.rows(test, ours, []), [ours])

    assert json.loads(json.dumps(tree, allow_nan=False))["ours"]["corpora"]["ham"]["roca"]["estimate"] is None


def test_tables_when_made_then_each_corpus_has_one_and_every_filter_a_row_in_it():
    test = made([("a", 20, 20), ("b", 20, 20)])
    every = [scored("ours", noisy(test, 1, 1)), scored("other", noisy(test, 1, 2))]

    tables = comparison.tables(comparison.rows(test, every[0], every[1:]), every)

    assert [table.title for table in tables[:3]] == ["Every corpus pooled.", "Corpus `a`.", "Corpus `b`."]
    assert all([row[0] for row in table.rows] == ["ours", "other"] for table in tables)
    assert tables[-1].rows[1][:3] == ("other", "10", "2.00")


class Recorder:
    """A filter that keeps what it was given."""

    name = "recorder"
    cut = 0.5

    def __init__(self) -> None:
        self.given: list[list[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def learn(self, examples: Sequence[Example]) -> None:
        self.given.append([example.raw for example in examples])

    def score(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        self.given.append([example.raw for example in examples])
        return np.zeros(len(examples))


def test_measure_when_run_then_the_filter_learns_before_it_scores():
    system = Recorder()
    train, test = examples(4), examples(2)

    found = compare.measure(system, train, test, np.array([3, 9], np.int64))

    assert system.given == [[example.raw for example in train], [example.raw for example in test]]
    assert (found.learned, found.positions.tolist()) == (4, [3, 9])


def examples(count: int, corpus: str = "a", label: Label = Label.HAM) -> list[Example]:
    return [Example(id=f"{i}", corpus=corpus, channel=Channel.SMS, label=label, raw=b"%d" % i) for i in range(count)]


def test_first_of_each_when_corpora_differ_in_size_then_each_label_of_each_gives_at_most_the_limit():
    everything = [*examples(50), *examples(3, "b"), *examples(9, "b", Label.SPAM)]

    kept = [everything[i] for i in compare.first_of_each(everything, 5)]

    assert (
        sorted((e.corpus, str(e.label)) for e in kept) == [("a", "ham")] * 5 + [("b", "ham")] * 3 + [("b", "spam")] * 5
    )
    assert [e.id for e in kept[:5]] != ["0", "1", "2", "3", "4"]


@pytest.mark.slow
def test_compare_when_asked_for_by_command_then_it_prints_and_keeps_the_measurement(data, tmp_path):
    arguments = [
        "--channel",
        "sms",
        "--bundle",
        str(BUNDLE),
        "--systems",
        "logistic,svm",
        "--data",
        str(data),
        "--fast",
    ]

    done = CliRunner().invoke(app, ["compare", *arguments, "--jobs", "1", "--out", str(tmp_path)])
    kept = Measurement.read(tmp_path / "compare-sms.json")

    assert done.exit_code == 0, done.output
    assert "| TF-IDF linear SVM |" in done.output
    assert kept.command == "trainer compare --channel sms --bundle filterd/models/sms --systems logistic,svm --fast"
    ours, logistic, svm = kept.figures.values()
    assert logistic["corpora"]["all"]["roca"]["estimate"] < 20  # the invented words give the label away
    assert svm["corpora"]["all"]["ham"] == ours["corpora"]["all"]["ham"] > 20
    assert any("content alone" in paragraph for paragraph in kept.text)


def test_compare_when_a_program_is_missing_then_it_is_told_before_any_corpus_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "ASIDE", tmp_path)
    context = Context(channel=Channel.SMS, data=tmp_path / "nowhere", bundle=BUNDLE)

    with pytest.raises(ToolMissing, match="Debian's rspamd"):
        compare.compare(context, ["svm", "rspamd"], {"PATH": str(tmp_path)})


def test_compare_when_there_is_no_bundle_then_the_error_says_how_to_name_one(tmp_path):
    with pytest.raises(TrainerError, match="--bundle"):
        compare.compare(Context(channel=Channel.SMS, data=tmp_path), [], {})

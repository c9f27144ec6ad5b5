"""What an engine works out over Parquet is what the same functions work out over a list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.token_codec import pack
from filterd.core.tokens import DEFAULT_HASHING
from filterd.errors import ContractMismatch
from filterd.inference.loaded import LoadedModel
from tests.filterd.tiny_bundle import write_bundle
from tests.servers import s3
from trainer import at_scale, evaluate, parquet, rows
from trainer.config import SplitConfig
from trainer.engine_names import EngineName
from trainer.engines import Engine, find
from trainer.errors import CorpusError
from trainer.example import Label
from trainer.features import encode
from trainer.input_pipeline import labels_of
from trainer.prepare import Split, assemble, capped
from trainer.replay import replay

from .at_scale_lines import SMS, examples, past, write_examples

COUNT = 240
CONFIG = SplitConfig(caps={"dated/ham": 50})


@pytest.fixture
def engine() -> Engine:
    """Without Ray; ``test_engines.py`` compares the two."""
    return find(EngineName.IN_PROCESS, 1)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_ROWS", 60)


def test_prepare_over_parquet_then_clusters_splits_and_tokens_are_those_of_the_list(
    engine: Engine, tmp_path: Path
) -> None:
    """Which process reads a message changes neither its near-duplicates nor the side of the split it falls on."""
    made = write_examples(tmp_path / "examples", COUNT)
    chosen = capped(made, CONFIG)
    hashing = DEFAULT_HASHING[Channel.SMS]
    read = encode(chosen, hashing)
    expected = assemble(chosen, read.texts, CONFIG)

    found = at_scale.prepare(engine, str(tmp_path / "examples"), Channel.SMS, CONFIG)

    assert [(e.corpus, e.id) for e in found.corpus.examples] == [(e.corpus, e.id) for e in chosen]
    assert found.corpus.clusters.tolist() == expected.clusters.tolist()
    assert len(set(expected.clusters.tolist())) < len(chosen)
    assert found.corpus.splits == expected.splits
    tokens = [pack(read.encoded.tokens_of(i), hashing) for i in range(len(chosen))]
    assert found.table["tokens"].to_pylist() == tokens


def test_evaluate_over_parquet_then_the_rows_are_those_of_the_list(engine: Engine, tmp_path: Path) -> None:
    """Every count, bound and 1-ROCA is the same, to the last digit that is written."""
    write_examples(tmp_path / "examples", COUNT)
    prepared = at_scale.prepare(find(EngineName.IN_PROCESS, 1), str(tmp_path / "examples"), Channel.SMS, SplitConfig())
    parquet.write([prepared.table], str(tmp_path / "prepared"), rows.PREPARED)
    contents = {(e.corpus, e.id): e for e in examples(COUNT)}
    test = [
        contents[e.corpus, e.id]
        for e, s in zip(prepared.corpus.examples, prepared.corpus.splits, strict=True)
        if s is Split.TEST
    ]
    model = LoadedModel.open(SMS, ParseLimits())
    logits = evaluate.logits(model, encode(test, model.spec.hashing).encoded)
    expected = evaluate.table(model.spec, logits, labels_of(test), np.array([e.corpus for e in test]))

    spec, found = at_scale.scored(engine, str(tmp_path / "prepared"), SMS, Split.TEST)

    assert spec.id == model.spec.id
    assert found == expected
    assert sum(row["ham"] + row["spam"] for row in found) == len(test) > 0


def test_replay_over_parquet_then_the_changes_are_those_of_the_list_in_its_order(
    engine: Engine, tmp_path: Path
) -> None:
    """Counts, what cannot be read, every changed verdict and their order are the same."""
    told = past(COUNT)
    parquet.write(rows.past_tables(told), str(tmp_path / "past"), rows.PAST)
    lenient = write_bundle(tmp_path / "lenient", Channel.SMS, id="sms-lenient", bias=-20.0)
    expected = replay(told, SMS, lenient)

    found = at_scale.replay(engine, str(tmp_path / "past"), SMS, lenient, "normal")

    assert found == expected
    assert found.unread == 1
    assert found.changes


@pytest.mark.slow
def test_prepare_when_the_examples_are_in_s3_then_the_corpus_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket is a location like any other."""
    with s3.running(tmp_path / "log") as server:
        for name, value in server.environ().items():
            monkeypatch.setenv(name, value)
        location = f"s3://{s3.BUCKET}/corpora/sms"
        write_examples(location, COUNT)

        found = at_scale.prepare(find(EngineName.IN_PROCESS, 1), location, Channel.SMS, CONFIG)

    assert [e.id for e in found.corpus.examples] == [e.id for e in capped(examples(COUNT), CONFIG)]


def test_parts_when_a_column_or_every_file_is_missing_then_says_which(tmp_path: Path) -> None:
    """Files of another make are refused by name, not half read."""
    with pytest.raises(CorpusError, match="holds no Parquet file"):
        parquet.parts_of(str(tmp_path / "nothing"))
    write_examples(tmp_path / "examples", 20)
    (part,) = parquet.parts_of(str(tmp_path / "examples"))

    with pytest.raises(CorpusError, match="no column tokens; it has corpus"):
        parquet.read(part, ("id", "tokens"))


def test_write_when_the_folder_is_not_empty_then_refuses(tmp_path: Path) -> None:
    """What an earlier run left is never mixed with a new one."""
    write_examples(tmp_path / "examples", 20)

    with pytest.raises(CorpusError, match="not empty"):
        write_examples(tmp_path / "examples", 20)


def test_examples_when_written_and_read_then_are_the_same(tmp_path: Path) -> None:
    """Octets, labels, dates and groups survive, in their order."""
    made = write_examples(tmp_path / "examples", 150)

    parts = parquet.parts_of(str(tmp_path / "examples"))
    found = [
        rows.example_from(row, Channel.SMS)
        for part in parts
        for row in parquet.read(part, rows.EXAMPLES.names).to_pylist()
    ]

    assert found == made
    assert [(part.first, part.rows) for part in parts] == [(0, 60), (60, 60), (120, 30)]
    assert {each.label for each in found} == set(Label)


def test_past_when_written_and_read_then_is_the_same(tmp_path: Path) -> None:
    """Nothing of what replay needs is lost on the way through Parquet."""
    told = past(30)
    parquet.write(rows.past_tables(told), str(tmp_path / "past"), rows.PAST)

    (part,) = parquet.parts_of(str(tmp_path / "past"))

    assert [rows.past_from(row) for row in parquet.read(part, rows.PAST.names).to_pylist()] == told


def test_replay_when_the_operating_point_is_unknown_then_nothing_is_started(tmp_path: Path) -> None:
    """A wrong word is told at once, not by every worker."""
    parquet.write(rows.past_tables(past(5)), str(tmp_path / "past"), rows.PAST)

    with pytest.raises(ContractMismatch, match="gentle"):
        at_scale.replay(find(EngineName.IN_PROCESS, 1), str(tmp_path / "past"), SMS, SMS, "gentle")

"""Prepare, replay and evaluate over Parquet, by an engine: each is one pure function of a part, and a merge.

A worker is sent bundles as octets, because it may be a machine that has none. The merges are done where the command
runs: they hold a row's marks (0.8 kB), labels and logit, not its content. Encoding cannot fail a run: what breaks a
limit is encoded as an empty message, as everywhere in the trainer.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from filterd.core.bundle import CHECKED_FILES, SPEC_FILE, BundleSpec
from filterd.core.envelope import Channel
from filterd.core.message import ParseLimits
from filterd.core.token_codec import pack, unpack
from filterd.core.tokens import DEFAULT_HASHING
from filterd.inference.loaded import LoadedModel
from trainer import evaluate, parquet, rows
from trainer.config import SplitConfig
from trainer.engines import Engine, Work
from trainer.errors import CorpusError
from trainer.example import Label
from trainer.features import encode
from trainer.parquet import Part, parts_of
from trainer.prepare import Corpus, Marks, Split, capped, divide, fold, marks_of
from trainer.replay import Replay, Replayer

Files = Mapping[str, bytes]
_SCORED = pa.schema([pa.field("corpus", pa.string()), pa.field("label", pa.string()), pa.field("logit", pa.float64())])


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRows:
    """What ``prepare`` made: rows of ``rows.PREPARED`` by corpus and id, and the corpus they are."""

    corpus: Corpus
    table: pa.Table

    def summary(self) -> str:
        """One line for a person."""
        counts = Counter(self.corpus.splits)
        parts = ", ".join(f"{counts[split]} {split}" for split in Split)
        return f"{len(self.table)} messages in {len(set(self.corpus.clusters.tolist()))} clusters: {parts}"


def prepare(
    engine: Engine, location: str, channel: Channel, config: SplitConfig, sample: int | None = None
) -> PreparedRows:
    """Read the examples at ``location`` as they would be served, and divide them. Raises CorpusError, StoreError.

    As ``corpora.prepare`` does with the same examples: the same clusters, the same splits.
    """
    found = list(engine.each(partial(_reading, channel.value), parts_of(location)))
    table = pa.concat_tables(found).combine_chunks()
    examples = [rows.example_from(row, channel) for row in table.select(_ABOUT).to_pylist()]
    places = {(each.corpus, each.id): position for position, each in enumerate(examples)}
    if len(places) < len(examples):
        raise CorpusError(f"{location}: two messages of one corpus have the same id; export it again")
    chosen = capped(examples, config, sample)
    table = table.take([places[each.corpus, each.id] for each in chosen])
    digests = np.frombuffer(b"".join(table["digest"].to_pylist()), "<u8").reshape(len(chosen), -1)
    marks = Marks(keys=tuple(table["key"].to_pylist()), digests=digests)
    corpus = divide(chosen, marks, config)
    table = table.append_column("cluster", pa.array(corpus.clusters))
    table = table.append_column("split", pa.array([split.value for split in corpus.splits]))
    return PreparedRows(corpus=corpus, table=table)


_ABOUT = ["corpus", "id", "label", "date", "group"]


def _reading(channel: str) -> Work:
    return partial(read_examples, channel=Channel(channel))


def read_examples(part: Part, channel: Channel) -> pa.Table:
    """``rows.READ`` of a part of ``rows.EXAMPLES``."""
    hashing = DEFAULT_HASHING[channel]
    table = parquet.read(part, rows.EXAMPLES.names)
    examples = [rows.example_from(row, channel) for row in table.to_pylist()]
    read = encode(examples, hashing)
    marks = marks_of([fold(text) for text in read.texts])
    made = [
        rows.about(example)
        | {
            "key": marks.keys[i],
            "digest": marks.digests[i].astype("<u8").tobytes(),
            "tokens": pack(read.encoded.tokens_of(i), hashing),
        }
        for i, example in enumerate(examples)
    ]
    return pa.Table.from_pylist(made, schema=rows.READ)


def replay(engine: Engine, location: str, incumbent: Path, candidate: Path, point: str) -> Replay:
    """What the candidate would change of the past at ``location``. Raises BundleError, CorpusError, StoreError."""
    before, after = files_of(incumbent), files_of(candidate)
    replayer = Replayer(opened(before), opened(after), point)
    tables = engine.each(partial(_replaying, before, after, point), parts_of(location))
    texts = (text for table in tables for text in table["replay"].to_pylist())
    return replayer.merged(msgspec.json.decode(text, type=Replay) for text in texts)


def _replaying(incumbent: Files, candidate: Files, point: str) -> Work:
    replayer = Replayer(opened(incumbent), opened(candidate), point)

    def work(part: Part) -> pa.Table:
        past = map(rows.past_from, parquet.read(part, rows.PAST.names).to_pylist())
        return pa.table({"replay": pa.array([msgspec.json.encode(replayer(past))], pa.binary())})

    return work


def scored(engine: Engine, location: str, bundle: Path, split: Split) -> tuple[BundleSpec, list[dict[str, Any]]]:
    """The bundle's spec, and the rows of ``evaluate.table`` for a split of prepared messages.

    Raises BundleError, CorpusError, StoreError.
    """
    files = files_of(bundle)
    spec = opened(files).spec
    found = list(engine.each(partial(_scoring, files, split.value), parts_of(location)))
    table = pa.concat_tables(found)
    if not len(table):
        raise CorpusError(f"{location}: no message is of the split {split}")
    labels = np.array([float(label == Label.SPAM) for label in table["label"].to_pylist()], np.float32)
    return spec, evaluate.table(spec, table["logit"].to_numpy(), labels, np.array(table["corpus"].to_pylist()))


def _scoring(files: Files, split: str) -> Work:
    model = opened(files)

    def work(part: Part) -> pa.Table:
        table = parquet.read(part, ("corpus", "label", "tokens", "split"))
        meant = [row for row in table.to_pylist() if row["split"] == split]
        logits = [model.score(unpack(row["tokens"], model.spec.hashing)) for row in meant]
        made = [{**row, "logit": logit} for row, logit in zip(meant, logits, strict=True)]
        return pa.Table.from_pylist(made, schema=_SCORED)

    return work


def files_of(folder: Path) -> Files:
    """A bundle's files by name."""
    return {name: (folder / name).read_bytes() for name in (SPEC_FILE, *CHECKED_FILES) if (folder / name).is_file()}


def opened(files: Files) -> LoadedModel:
    """The model of a bundle that came as files. Raises BundleError."""
    with tempfile.TemporaryDirectory(prefix="filterd-bundle-") as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return LoadedModel.open(Path(folder), ParseLimits())

"""Counts and de-duplicates messages in Parquet that no memory holds, with DuckDB, in one process.

Rows are read through pyarrow, so that a location may be in S3, and what does not fit is spilled beside the temporary
files. Messages are the same where their ``key`` is, the mark of their folded text; where a location has no such column,
where their octets are. Near-duplicates are ``prepare``'s: they need a digest a row in memory.
Source: DuckDB 2.0, ``memory_limit`` and ``temp_directory``.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from trainer import parquet
from trainer.errors import CorpusError, ToolMissing

try:
    import duckdb
except ModuleNotFoundError as exc:
    raise ToolMissing(f"{exc.name} is not installed; install filterd[parquet] to count what is in Parquet") from exc

_THREADS = 2
"""Each thread spills by itself: more of them need more memory at once."""
_BATCH_ROWS = 20_000
_COUNTS = """
WITH each AS (
    SELECT corpus, label, key, count(*) AS n, min(date) AS oldest, max(date) AS newest,
           count(*) FILTER (date IS NULL) AS undated
    FROM messages GROUP BY corpus, label, key
), written AS (
    SELECT DISTINCT corpus, label, "group" FROM messages
), named AS (
    SELECT corpus, label, count(*) AS groups FROM written GROUP BY corpus, label
)
SELECT corpus, label, CAST(sum(n) AS BIGINT) AS messages, count(*) AS distinct_messages,
       strftime(min(oldest), '%Y-%m-%d') AS oldest, strftime(max(newest), '%Y-%m-%d') AS newest,
       CAST(sum(undated) AS BIGINT) AS undated, any_value(groups) AS groups
FROM each JOIN named USING (corpus, label) GROUP BY corpus, label ORDER BY corpus, label
"""
_KEYED = 'CREATE TABLE messages AS SELECT place, key, corpus, label, date, "group" FROM read'
_UNKEYED = _KEYED.replace("key", "unhex(substr(sha256(key), 1, 32)) AS key")
_CONTRADICTIONS = "SELECT count(*) FROM (SELECT key FROM messages GROUP BY key HAVING count(DISTINCT label) > 1)"
_KEPT = "SELECT place FROM (SELECT min(place) AS place FROM messages GROUP BY key) ORDER BY place"


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Messages of one corpus and label."""

    corpus: str
    label: str
    messages: int
    distinct_messages: int
    oldest: str | None
    """Day, UTC; None where none has a date."""
    newest: str | None
    undated: int
    groups: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What a location holds."""

    counts: tuple[Count, ...]
    contradictions: int
    """Distinct messages that are ham and spam."""

    def lines(self) -> list[str]:
        """As a person reads it, tab-separated."""
        head = "corpus\tlabel\tmessages\tdistinct\toldest\tnewest\tundated\tgroups"
        rows = [
            f"{c.corpus}\t{c.label}\t{c.messages}\t{c.distinct_messages}\t{c.oldest or '-'}\t{c.newest or '-'}"
            f"\t{c.undated}\t{c.groups}"
            for c in self.counts
        ]
        return [head, *rows, f"{self.contradictions} distinct messages are ham and spam"]


def statistics(location: str, memory: str) -> Statistics:
    """Counts per corpus and label, within ``memory`` (``4GB``). Raises CorpusError, StoreError."""
    with _messages(location, memory) as connection:
        rows = connection.sql(_COUNTS).to_arrow_table().to_pylist()
        (contradictions,) = connection.execute(_CONTRADICTIONS).fetchone() or (0,)
    return Statistics(counts=tuple(Count(**row) for row in rows), contradictions=contradictions)


def deduplicate(location: str, out: str, memory: str) -> tuple[int, int]:
    """Write the first of all messages that are the same to ``out``, in their order; how many there were and are.

    Raises CorpusError, StoreError.
    """
    parts = parquet.parts_of(location)
    schema = parquet.schema_of(location)
    with _messages(location, memory) as connection:
        places = connection.sql(_KEPT).to_arrow_reader(_BATCH_ROWS)
        kept = parquet.write(_taken(parts, schema.names, places), out, schema)
    return sum(part.rows for part in parts), kept


def _taken(parts: Sequence[parquet.Part], columns: Sequence[str], places: Any) -> Iterator[pa.Table]:
    """The rows at ascending places, part by part."""
    waiting = iter(place for batch in places for place in batch.column(0).to_pylist())
    place = next(waiting, None)
    for part in parts:
        inside = []
        while place is not None and place < part.first + part.rows:
            inside.append(place - part.first)
            place = next(waiting, None)
        if inside:
            yield parquet.read(part, columns).take(inside)


@contextmanager
def _messages(location: str, memory: str) -> Iterator[Any]:
    """A connection with the table ``messages``: its row's place, key and what is counted."""
    parts = parquet.parts_of(location)
    names = parquet.schema_of(location).names
    content = "key" if "key" in names else "raw"
    if content not in names:
        raise CorpusError(f"{location}: has neither a column key nor a column raw")
    folder = Path(tempfile.mkdtemp(prefix="filterd-counting-"))
    try:
        with duckdb.connect(str(folder / "messages.duckdb")) as connection:
            connection.execute(f"SET memory_limit = '{_checked(memory)}'")
            connection.execute(f"SET temp_directory = '{folder}'")
            connection.execute(f"SET threads = {_THREADS}")
            connection.execute("SET preserve_insertion_order = false")
            connection.execute("SET TimeZone = 'UTC'")
            reader = pa.RecordBatchReader.from_batches(_READ, _read(parts, content))
            connection.register("read", reader)
            connection.execute(_KEYED if content == "key" else _UNKEYED)
            yield connection
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_READ = pa.schema(
    [
        pa.field("place", pa.int64()),
        pa.field("key", pa.binary()),
        pa.field("corpus", pa.string()),
        pa.field("label", pa.string()),
        pa.field("date", pa.timestamp("us", tz="UTC")),
        pa.field("group", pa.string()),
    ]
)


def _read(parts: Sequence[parquet.Part], content: str) -> Iterator[pa.RecordBatch]:
    for part in parts:
        table = parquet.read(part, (content, "corpus", "label", "date", "group"))
        places = pa.array(range(part.first, part.first + part.rows), pa.int64())
        columns = [places, *(table[name] for name in (content, "corpus", "label", "date", "group"))]
        yield from pa.Table.from_arrays(columns, names=_READ.names).cast(_READ).to_batches(_BATCH_ROWS)


def _checked(memory: str) -> str:
    """``4GB`` or ``500MB``. Raises CorpusError for anything else."""
    if not (memory[-2:] in {"MB", "GB"} and memory[:-2].isdigit()):
        raise CorpusError(f"{memory!r} is no size of memory; write 4GB or 500MB")
    return memory

"""Counting and de-duplicating what does not fit into memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from trainer import counting, parquet, rows
from trainer.errors import CorpusError

from .at_scale_lines import START

ROWS, DISTINCT = 20_000, 12_000
SCHEMA = pa.schema([field for field in rows.EXAMPLES if field.name != "channel"])


def write(location: Path) -> list[bytes]:
    """Many rows, some of them the same: their octets in order."""
    rng = np.random.default_rng(5)
    drawn = np.concatenate([np.arange(DISTINCT), rng.integers(0, DISTINCT, ROWS - DISTINCT)])
    raws = [b"message %d %s" % (n, b"x" * 40) for n in drawn]
    table = pa.table(
        {
            "corpus": pa.array(["a" if n % 3 else "b" for n in range(ROWS)]),
            "id": pa.array([str(n) for n in range(ROWS)]),
            "label": pa.array(["spam" if n % 2 else "ham" for n in drawn]),
            "date": pa.array([START if n % 5 else None for n in range(ROWS)], pa.timestamp("us", tz="UTC")),
            "group": pa.array([f"g{n % 7}" for n in range(ROWS)]),
            "raw": pa.array(raws, pa.binary()),
        }
    )
    parquet.write([table.slice(i, 3_000) for i in range(0, ROWS, 3_000)], str(location), SCHEMA)
    return raws


def test_dedup_when_memory_is_small_then_the_first_of_each_is_kept_in_order(tmp_path: Path) -> None:
    """Whatever is spilled on the way, the result is that of a set."""
    raws = write(tmp_path / "in")

    assert counting.deduplicate(str(tmp_path / "in"), str(tmp_path / "out"), "50MB") == (ROWS, DISTINCT)

    kept = [
        row for part in parquet.parts_of(str(tmp_path / "out")) for row in parquet.read(part, ("id", "raw")).to_pylist()
    ]
    assert [row["raw"] for row in kept] == list(dict.fromkeys(raws))
    assert [row["id"] for row in kept] == [str(n) for n in range(DISTINCT)]


def test_statistics_then_count_messages_distinct_ones_dates_and_groups(tmp_path: Path) -> None:
    """One row per corpus and label, and how many texts people disagree about."""
    write(tmp_path / "in")

    found = counting.statistics(str(tmp_path / "in"), "50MB")

    assert [(c.corpus, c.label) for c in found.counts] == [("a", "ham"), ("a", "spam"), ("b", "ham"), ("b", "spam")]
    assert sum(c.messages for c in found.counts) == ROWS
    assert sum(c.undated for c in found.counts) == ROWS // 5
    assert {(c.oldest, c.newest, c.groups) for c in found.counts} == {("2026-01-01", "2026-01-01", 7)}
    assert found.contradictions == 0


def test_statistics_when_the_key_says_so_then_messages_of_other_octets_are_the_same(tmp_path: Path) -> None:
    """Prepared messages have the mark of their folded text: copies that differ in spacing and case count as one."""
    table = pa.table(
        {
            "corpus": ["a", "a"],
            "label": ["ham", "spam"],
            "date": pa.array([None, None], pa.timestamp("us", tz="UTC")),
            "group": ["", ""],
            "key": pa.array([b"k" * 16, b"k" * 16]),
        }
    )
    parquet.write([table], str(tmp_path / "in"), table.schema)

    found = counting.statistics(str(tmp_path / "in"), "50MB")

    assert found.contradictions == 1
    assert "1 distinct messages are ham and spam" in found.lines()


@pytest.mark.parametrize("memory", ["4", "4TB'; --", "lots"])
def test_statistics_when_the_memory_is_no_size_then_refuses(tmp_path: Path, memory: str) -> None:
    """A wrong word reaches no statement."""
    write(tmp_path / "in")

    with pytest.raises(CorpusError, match="is no size of memory"):
        counting.statistics(str(tmp_path / "in"), memory)

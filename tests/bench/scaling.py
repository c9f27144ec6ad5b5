"""What scaling rests on: rows that no memory holds, workers side by side, the cost of a row and of idle hosts.

``python -m tests.bench.scaling [PART...] [--rows 10000000] [--write docs/scaling.md]``. Parts take turns with nothing;
where rounds are possible a figure is the least of them, because what else runs on the machine only ever adds.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.bench.scaling_store import fleet_lines, replay_lines, store_lines
from trainer import parquet, rows
from trainer.measurement import checkout

_BATCH = 100_000
_DISTINCT_SHARE = 0.7
_ROUNDS = 2
_MEMORY = "3GB"
"""DuckDB's own limit: beside it are pyarrow's batches and the program."""
_WORDS = (
    "your parcel is waiting at the depot, pay the fee now to have it delivered tomorrow",
    "running late, please start without me and keep a seat near the window",
    "you have been chosen for a free holiday, call now to claim your prize today",
    "the agenda for monday is attached, let me know what is missing until noon",
)


def generate(location: Path, count: int) -> None:
    """So many labelled messages of a hundred octets, three in ten of them copies, as ``rows.EXAMPLES``."""
    rng = np.random.default_rng(11)

    def tables() -> Iterator[pa.Table]:
        for start in range(0, count, _BATCH):
            size = min(_BATCH, count - start)
            drawn = rng.integers(0, int(count * _DISTINCT_SHARE), size)
            moments = 1_700_000_000_000_000 + rng.integers(0, 10**13, size)
            yield pa.table(
                {
                    "corpus": pa.array([f"corpus{n % 4}" for n in drawn]),
                    "id": pa.array([str(start + i) for i in range(size)]),
                    "label": pa.array(["spam" if n % 2 else "ham" for n in drawn]),
                    "date": pa.array(moments, pa.timestamp("us", tz="UTC")),
                    "group": pa.array([f"g{n % 997}" for n in drawn]),
                    "channel": pa.array(["sms"] * size),
                    "raw": pa.array([f"{_WORDS[n % 4]} {n}".encode() for n in drawn], pa.binary()),
                }
            )

    parquet.write(tables(), str(location), rows.EXAMPLES)


def counting_lines(count: int, folder: Path) -> list[str]:
    """Seconds and peak memory of counting and of de-duplicating, each in a process of its own."""
    generate(folder / "messages", count)
    size = sum(path.stat().st_size for path in (folder / "messages").iterdir())
    out = [
        f"{count:,} messages in {size / 1e6:,.0f} MB of Parquet.",
        "",
        "| command | seconds | peak MB |",
        "|---|---:|---:|",
    ]
    for words in (["stats"], ["dedup"]):
        target = [str(folder / "once")] if words == ["dedup"] else []
        command = [*words, str(folder / "messages"), *target, "--memory", _MEMORY]
        seconds, peak, said = _watched([str(Path(sys.executable).parent / "trainer"), "corpus", *command])
        out.append(f"| `trainer corpus {words[0]} --memory {_MEMORY}` | {seconds:.0f} | {peak:,.0f} |")
    return [*out, "", said.strip().splitlines()[-1] + "."]


def _watched(command: list[str]) -> tuple[float, float, str]:
    """Seconds, peak resident MB and output of a program that ends well."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return time.monotonic() - started, usage.ru_maxrss * 1024 / 1e6, said


def ray_lines(count: int, folder: Path) -> list[str]:
    """The same messages read by one worker and by two, in turns, while all of them work."""
    from tests.bench.scaling_work import Timed  # noqa: PLC0415  # Ray takes seconds
    from trainer.engine_names import EngineName  # noqa: PLC0415
    from trainer.engines import find  # noqa: PLC0415
    from trainer.engines.on_ray import connected  # noqa: PLC0415

    parquet.GROUP_ROWS = 500  # so that both have something to do until the end
    generate(folder / "ray", count)
    parts = parquet.parts_of(str(folder / "ray"))
    best: dict[int, tuple[float, float]] = {}
    with connected(2):
        for _ in range(_ROUNDS):
            for workers in (1, 2):
                spans = [row for table in find(EngineName.RAY, workers).each(Timed, parts) for row in table.to_pylist()]
                cost = 1e6 * sum(row["cpu"] for row in spans) / count
                best[workers] = max((_per_second(spans), cost), best.get(workers, (0.0, 0.0)))
    said = (
        f"{count:,} SMS read, encoded and marked by Ray workers here, each in a session of its own, the best "
        f"of {_ROUNDS} rounds in turns, counted while all workers had started and none was done:"
    )
    return [
        said,
        "",
        "| workers | messages/s | ratio | us of CPU a message |",
        "|---:|---:|---:|---:|",
        *(f"| {n} | {rate:,.0f} | {rate / best[1][0]:.2f} | {cost:.0f} |" for n, (rate, cost) in best.items()),
    ]


def _per_second(spans: list[dict[str, float]]) -> float:
    """Messages a second while every worker was at work; of a part at the edge, its share."""
    by_worker: dict[float, list[dict[str, float]]] = {}
    for span in spans:
        by_worker.setdefault(span["worker"], []).append(span)
    start = max(min(span["began"] for span in own) for own in by_worker.values())
    end = min(max(span["ended"] for span in own) for own in by_worker.values())
    done = 0.0
    for span in spans:
        inside = max(0.0, min(end, span["ended"]) - max(start, span["began"]))
        done += span["rows"] * inside / (span["ended"] - span["began"])
    return done / (end - start)


def main() -> None:
    """Measure the parts that are named, or all, and print or write them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--write", type=Path, default=None)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="filterd-scale-") as name:
        folder = Path(name)
        parts: dict[str, Callable[[], list[str]]] = {
            "counting": lambda: counting_lines(chosen.rows, folder),
            "workers": lambda: ray_lines(chosen.messages, folder),
            "store": lambda: store_lines(folder),
            "replay": replay_lines,
            "fleet": lambda: fleet_lines(folder),
        }
        for part in chosen.parts or parts:
            load, started = os.getloadavg()[0], datetime.now(UTC)
            found = parts[part]()
            command = f"python -m tests.bench.scaling {part}"
            head = f"`{command}`, {started:%Y-%m-%d}, commit `{checkout()}`, load of the machine before it {load:.0f}."
            lines = [head, "", *found]
            print("\n".join([f"## {part}", "", *lines, ""]), flush=True)
            if chosen.write is not None:
                _write(chosen.write, part, lines)


def _write(path: Path, part: str, lines: list[str]) -> None:
    """Put the lines between the part's marks."""
    begin, end = f"<!-- begin {part}: written by `make scale` -->", f"<!-- end {part} -->"
    text = path.read_text(encoding="utf-8")
    body = "\n".join([begin, "", *lines, "", end])
    assert begin in text, part
    path.write_text(
        re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: body, text, flags=re.DOTALL), encoding="utf-8"
    )


if __name__ == "__main__":
    main()

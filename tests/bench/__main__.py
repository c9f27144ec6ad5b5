"""Side by side in one run: messages per second, CPU, latency and memory of filterd and of what people run today.

``python -m tests.bench [--rounds 3] [--seconds 8] [--systems a,b] [--write docs/performance]``. The systems take turns
within a round, so that a noisy minute meets all of them; figures are medians over the rounds. The last line is
``ratio to Postfix + rspamd milter: N``, messages per second at four connections.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from tests.bench import load
from tests.bench.messages import drive, sample
from tests.bench.systems import SYSTEMS, Running, sink
from tests.servers import processes
from trainer.measurement import Measurement, Table

_CONNECTIONS = (1, 4, 16)
_COMPARED = 4
"""Connections of the last line."""
_WARM_SECONDS = 2.0
_OURS, _OTHERS = "filterd", "Postfix + rspamd milter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One system at one number of connections, once."""

    per_second: float
    cpu_ms: float
    """Of the system's processes, per message."""
    p50_ms: float
    p99_ms: float
    memory_mb: float
    refused: int


def main() -> None:
    """Run what the arguments say, print the table and the ratio."""
    parser = argparse.ArgumentParser(description="filterd beside other filters")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--connections", default=",".join(map(str, _CONNECTIONS)))
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--write", type=Path, default=None)
    chosen = parser.parse_args()
    connections = [int(each) for each in chosen.connections.split(",")]
    found: dict[tuple[str, int], list[Round]] = defaultdict(list)
    messages, origin = sample()
    with tempfile.NamedTemporaryFile(suffix=".mails") as file, sink() as next_hop:
        file.write(load.pack(messages))
        file.flush()
        for number in range(chosen.rounds):
            for name in chosen.systems.split(","):
                with SYSTEMS[name](next_hop) as running:
                    drive(running.protocol, running.port, _COMPARED, _WARM_SECONDS, file.name)
                    for count in connections:
                        found[name, count].append(_round(running, count, chosen.seconds, file.name))
                _say(f"round {number + 1}: {name} {_brief(found, name, connections)}")
    made = _measurement(found, origin, chosen.rounds)
    _say("\n".join(made.lines()))
    if chosen.write:
        made.write(chosen.write)
    if (_OURS, _COMPARED) in found and (_OTHERS, _COMPARED) in found:
        _say(f"ratio to {_OTHERS}: {_ratio(found):.2f}")


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def _round(running: Running, connections: int, seconds: float, file: str) -> Round:
    before = sum(map(processes.cpu_seconds, running.pids))
    answer = drive(running.protocol, running.port, connections, seconds, file)
    spent = sum(map(processes.cpu_seconds, running.pids)) - before
    milliseconds = np.array(answer.milliseconds, np.float64)
    count = len(milliseconds)
    return Round(
        per_second=count / answer.seconds,
        cpu_ms=1000 * spent / max(count, 1),
        p50_ms=float(np.percentile(milliseconds, 50)) if count else float("nan"),
        p99_ms=float(np.percentile(milliseconds, 99)) if count else float("nan"),
        memory_mb=sum(map(processes.memory_mb, running.pids)),
        refused=answer.refused,
    )


def _median(rounds: Sequence[Round], name: str) -> float:
    values: list[float] = [getattr(each, name) for each in rounds]
    return statistics.median(values)


def _brief(found: dict[tuple[str, int], list[Round]], name: str, connections: Sequence[int]) -> str:
    return " / ".join(f"{found[name, count][-1].per_second:.0f}" for count in connections)


def _ratio(found: dict[tuple[str, int], list[Round]]) -> float:
    return _median(found[_OURS, _COMPARED], "per_second") / _median(found[_OTHERS, _COMPARED], "per_second")


def _measurement(found: dict[tuple[str, int], list[Round]], origin: str, rounds: int) -> Measurement:
    rows = tuple(
        (
            name,
            str(count),
            f"{_median(each, 'per_second'):.0f}",
            f"{_median(each, 'cpu_ms'):.2f}",
            f"{_median(each, 'p50_ms'):.1f}",
            f"{_median(each, 'p99_ms'):.1f}",
            f"{_median(each, 'memory_mb'):.0f}",
            str(sum(r.refused for r in each)),
        )
        for (name, count), each in found.items()
    )
    columns = ("system", "connections", "messages/s", "CPU ms a message", "p50 ms", "p99 ms", "PSS MB", "refused")
    return Measurement(
        id="side-by-side",
        title="Side by side",
        command="make bench",
        text=(
            (
                f"{origin}, in a closed loop without pipelining; medians of {rounds} alternating rounds; "
                f"{os.cpu_count()} cores for client, sink and system together, {datetime.now(UTC):%Y-%m-%d}. "
                "Nobody asks the network; rspamd and SpamAssassin run their rules without Bayes."
            ),
        ),
        tables=(Table(columns=columns, rows=rows),),
        figures={
            f"{name} {count}": [{"per_second": r.per_second, "cpu_ms": r.cpu_ms, "p99_ms": r.p99_ms} for r in each]
            for (name, count), each in found.items()
        },
    )


if __name__ == "__main__":
    main()

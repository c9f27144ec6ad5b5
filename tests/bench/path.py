"""The ladder of the whole path: CPU of a worker and its scanner per message, one part after the other.

``python -m tests.bench.path [--seconds 5] [--rounds 3] [--connections 4]``. Every rung is a worker of its own in front
of Postfix's smtp-sink; the rungs take turns within a round and each figure is the least of the rounds, because what
else runs on the machine only ever adds. The steps inside the scanner are in ``scan_path.py``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import load
from tests.bench.messages import drive, sample
from tests.bench.rung import RUNGS
from tests.bench.systems import await_port, sink
from tests.servers import processes
from tests.servers.ports import free_port

_WARM_SECONDS = 1.5


@contextmanager
def _worker(rung: str, next_hop: int) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port and the process of one rung."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="filterd-rung-") as folder:
        with (Path(folder) / "log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.rung", rung, str(port), str(next_hop), folder],
                stdin=subprocess.PIPE,
                stderr=output,
            )
        try:
            await_port(port, process, Path(folder) / "log")
            yield port, process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def _milliseconds(rung: str, next_hop: int, chosen: argparse.Namespace, file: str) -> tuple[float, float]:
    """CPU per message of the worker, and of the worker and its scanner together."""
    with _worker(rung, next_hop) as (port, process):
        drive("smtp", port, chosen.connections, _WARM_SECONDS, file)
        family = tuple(processes.family(process.pid))
        before = [processes.own_cpu_seconds(pid) for pid in family]
        count = len(drive("smtp", port, chosen.connections, chosen.seconds, file).milliseconds)
        spent = [processes.own_cpu_seconds(pid) - was for pid, was in zip(family, before, strict=True)]
        return 1000 * spent[0] / count, 1000 * sum(spent) / count


def main() -> None:
    """Climb and print."""
    parser = argparse.ArgumentParser(description="where the time of a message goes")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--rungs", default=",".join(RUNGS))
    chosen = parser.parse_args()
    messages, origin = sample()
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.NamedTemporaryFile(suffix=".mails") as file, sink() as next_hop:
        file.write(load.pack(messages))
        file.flush()
        for _ in range(chosen.rounds):
            for rung in chosen.rungs.split(","):
                found[rung].append(_milliseconds(rung, next_hop, chosen, file.name))
    sys.stdout.write(f"{origin}, {chosen.connections} connections; CPU microseconds a message\n")
    sys.stdout.write(f"{'':<12}{'worker':>8}{'scanner':>9}{'in all':>8}{'step':>8}\n")
    last = 0.0
    for rung, rounds in found.items():
        worker, whole = min(rounds, key=lambda each: each[1])
        step = whole - last
        columns = f"{1e3 * worker:>8.0f}{1e3 * (whole - worker):>9.0f}{1e3 * whole:>8.0f}{1e3 * step:>+8.0f}"
        sys.stdout.write(f"{rung:<12}{columns}  {RUNGS[rung]}\n")
        last = whole


if __name__ == "__main__":
    main()

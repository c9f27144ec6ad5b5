"""What a process started, and what it and all of that has used: from /proc. Stops all of it, too."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_PATIENCE_SECONDS = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")
_AT_REST = frozenset("TtDZX")
"""Stopped, in uninterruptible sleep, or dead (proc(5), stat)."""
_UTIME, _STIME, _CUTIME, _CSTIME = 11, 12, 13, 14
"""Fields of /proc/PID/stat after the name (proc(5))."""


@contextmanager
def running(
    command: Sequence[str | Path], log: Path, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """The command in the log's folder, until the end of the block."""
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=log.parent, env=environment, stdout=stream, stderr=stream)
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, and make it where it does not."""
    process.terminate()
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def children(pid: int) -> list[int]:
    """Processes that this one started and has not buried."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text(encoding="ascii").split())
        except OSError:
            continue
    return found


def family(pid: int) -> Iterator[int]:
    """The process and its descendants that run now."""
    yield pid
    for child in children(pid):
        yield from family(child)


def named(pid: int, name: str, module: str = "") -> list[int]:
    """The descendants with this name in the kernel's list, or started as this module, oldest first (proc(5))."""
    return sorted(e for e in family(pid) if _read(e, "comm") == [name] or (module and module in _read(e, "cmdline")))


def _read(pid: int, file: str) -> list[str]:
    try:
        data = Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return data.rstrip("\n\0").split("\0")


def freeze(pid: int) -> list[int]:
    """The process and its descendants, each of them stopped: none executes another instruction of its own.

    One that waits for a disk inside the kernel stops when it comes out.
    """
    os.kill(pid, signal.SIGSTOP)
    while _states(pid) - _AT_REST:
        time.sleep(0.001)
    # Only now: one that runs could start another.
    return [pid, *(each for child in children(pid) for each in freeze(child))]


def _states(pid: int) -> set[str]:
    """The states of its threads (proc(5))."""
    found = set()
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            found.add(task.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0])
    return found


def running_seconds(pid: int) -> float:
    """Processor time of the main thread (proc(5), schedstat), where an event loop runs."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


def cpu_seconds(pid: int) -> float:
    """User and system time of the family, ended children included."""
    total = 0
    for each in family(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(fields[i]) for i in (_UTIME, _STIME, _CUTIME, _CSTIME))
    return total / _TICKS


def own_cpu_seconds(pid: int) -> float:
    """The same of the process alone, by the scheduler's clock (schedstat), which counts no ticks."""
    return (
        sum(int(task.read_text(encoding="ascii").split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))
        / 1e9
    )


def memory_mb(pid: int) -> float:
    """Proportional set size of the family, in MB of 10^6 bytes: shared pages are counted once."""
    kilobytes = 0
    for each in family(pid):
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes * 1024 / 1e6

"""Fuzz one target with atheris: ``python -m tests.fuzz.run mail --seconds 60``, or ``--runs 10000000``.

What breaks a promise is written to ``regressions/<target>/`` as a bytes literal, where a fast test replays it: name it
after what it shows, and commit it with the repair. Takes 2 seconds and 1 GB at most per input, as a scanner would.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import atheris

# Only the process that fuzzes needs instruments; putting them in takes seconds and a line for each module.
with atheris.instrument_imports(include=["filterd", "email"]) if "--inside" in sys.argv else contextlib.nullcontext():
    from tests.fuzz.seeds import WORDS, seeds
    from tests.fuzz.targets import TARGETS

REGRESSIONS = Path(__file__).parent / "regressions"
MOST_BYTES = 16_384
INPUT_SECONDS = 5
"""Ten times what the largest input takes; the machine may be busy."""
MEMORY_MEGABYTES = 1_024


def main() -> int:
    """Fuzz in a process of its own, which libFuzzer ends as it likes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=0, help="how long; 0 for as long as --runs takes")
    parser.add_argument("--runs", type=int, default=-1, help="how many executions; -1 for as many as --seconds allow")
    parser.add_argument("--inside", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        _fuzz(given.target, given.inside.split("\n"))
    with tempfile.TemporaryDirectory() as folder:
        return _watch(given.target, Path(folder), given.seconds, given.runs)


def _watch(target: str, folder: Path, seconds: int, runs: int) -> int:
    """Run the fuzzer, say how fast it was, keep what it found."""
    (folder / "seeds").mkdir()
    for number, seed in enumerate(seeds(target)):
        (folder / f"seeds/{number}").write_bytes(seed)
    (folder / "words").write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS[target]), encoding="ascii")
    options = [
        str(folder / "seeds"),
        f"-dict={folder / 'words'}",
        f"-artifact_prefix={folder}/",
        f"-max_len={MOST_BYTES}",
        f"-timeout={INPUT_SECONDS}",
        f"-rss_limit_mb={MEMORY_MEGABYTES}",
        f"-max_total_time={seconds}",
        f"-runs={runs}",
        "-print_final_stats=1",
    ]
    started = time.monotonic()
    command = [sys.executable, "-m", "tests.fuzz.run", target, "--inside", "\n".join(options)]
    with (folder / "log").open("wb") as log:
        code = subprocess.run(command, stdout=log, stderr=log, check=False).returncode
    text = (folder / "log").read_text("utf-8", "replace")
    executions = int(text.rpartition("number_of_executed_units:")[2].split()[0]) if "executed_units" in text else 0
    took = time.monotonic() - started
    _say(f"{target}: {executions} executions in {took:.0f} s, {executions / took:.0f} a second, exit {code}")
    kept = [_keep(target, path) for path in folder.iterdir() if path.name.startswith(("crash-", "timeout-", "oom-"))]
    if code:
        _say("\n".join(line for line in text.splitlines() if not line.startswith("INFO:"))[-4_000:])
    for path in kept:
        _say(f"kept {path}")
    return 1 if code or kept else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _fuzz(target: str, options: list[str]) -> None:
    atheris.Setup(["fuzz", *options], TARGETS[target]())
    atheris.Fuzz()


def _keep(target: str, path: Path) -> Path:
    folder = REGRESSIONS / target
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{path.name[:20]}.txt"
    kept.write_text(f"{path.read_bytes()!r}\n", encoding="ascii")
    return kept


def _escaped(word: str) -> str:
    """A word as libFuzzer's dictionaries have it."""
    return "".join(c if c.isalnum() else f"\\x{ord(c):02x}" for c in word)


if __name__ == "__main__":
    sys.exit(main())

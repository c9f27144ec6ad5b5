"""Other filters over the same examples. bogofilter 1.2.5: one word list, trained once, scored in bulk mode."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from filterd.core.envelope import Channel
from trainer.errors import ToolMissing, TrainerError
from trainer.example import Example, Label

BOGOFILTER_CUT = 0.99
"""bogofilter's own ``spam_cutoff``."""
_NAMES = ("bogofilter", "bogofilter-bdb", "bogofilter-sqlite")
_ASIDE = Path(__file__).parents[1] / ".servers"
_TIMEOUT_SECONDS = 1800


def find_bogofilter(environ: Mapping[str, str]) -> Path:
    """The program: ``BOGOFILTER``, the PATH, or Debian's package unpacked in ``.servers``. Raises ToolMissing."""
    named = environ.get("BOGOFILTER")
    if named:
        return Path(named)
    for name in _NAMES:
        if found := shutil.which(name, path=environ.get("PATH")):
            return Path(found)
        if unpacked := sorted(_ASIDE.glob(f"**/usr/bin/{name}")):
            return unpacked[0]
    raise ToolMissing("bogofilter is not installed; tests/servers/fetch.sh unpacks Debian's package")


def bogofilter_scores(program: Path, train: Sequence[Example], test: Sequence[Example]) -> NDArray[np.float64]:
    """float64[len(test)]: bogofilter's spamicity, [0, 1], after learning ``train``. Raises TrainerError."""
    with tempfile.TemporaryDirectory() as folder, _as_files(train) as learn, _as_files(test) as score:
        home = Path(folder)
        for label, flag in ((Label.HAM, "-n"), (Label.SPAM, "-s")):
            paths = [path for path, example in zip(learn, train, strict=True) if example.label is label]
            _run(program, home, [flag, "-b"], paths)
        lines = _run(program, home, ["-T", "-T", "-b"], score).splitlines()
        if len(lines) != len(score):
            raise TrainerError(f"bogofilter scored {len(lines)} of {len(score)} messages")
        spamicity = {line.rpartition(b" ")[0].split(b" ")[0]: float(line.rpartition(b" ")[2]) for line in lines}
        return np.array([spamicity[os.fsencode(path)] for path in score], np.float64)


@contextmanager
def _as_files(examples: Sequence[Example]) -> Iterator[list[Path]]:
    """Each example in a file of its own; an SMS gets an empty header block, so that all of it is body."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, example in enumerate(examples):
            path = Path(folder) / f"{number:06d}"
            path.write_bytes(b"\n" + example.raw + b"\n" if example.channel is Channel.SMS else example.raw)
            paths.append(path)
        yield paths


def _run(program: Path, home: Path, flags: list[str], paths: Sequence[Path]) -> bytes:
    """Raises TrainerError when bogofilter fails; 0 and 1 and 2 tell its verdict of the last message."""
    environment = {"HOME": str(home), "BOGOFILTER_DIR": str(home), "LD_LIBRARY_PATH": str(_libraries(program))}
    done = subprocess.run(  # noqa: S603  (the program the developer named)
        [str(program), "-C", "-d", str(home), *flags],
        input=b"\n".join(os.fsencode(path) for path in paths) + b"\n",
        env=environment,
        capture_output=True,
        check=False,
        timeout=_TIMEOUT_SECONDS,
    )
    if done.returncode > 2:
        raise TrainerError(f"bogofilter failed: {done.stderr.decode('utf-8', 'replace')[:200].strip()}")
    return done.stdout


def _libraries(program: Path) -> Path:
    """Where the libraries of an unpacked package lie."""
    found = sorted(program.parents[1].glob("lib/*-linux-gnu"))
    return found[0] if found else program.parents[1] / "lib"

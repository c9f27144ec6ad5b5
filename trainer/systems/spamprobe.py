"""SpamProbe: Graham's formula over words and pairs of words. A private database, many files per process.

Source: spamprobe(1). ``train-test`` is the one command that keeps the order of ham and spam in one process;
``summarize`` is asked instead of ``score`` because it names the file of each score.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
from numpy.typing import NDArray

from trainer.errors import TrainerError
from trainer.example import Example, Label
from trainer.systems import carrier, programs

_FILES = 2000
"""Files named in one command, far below the kernel's limit on arguments."""
_SUMMARY = re.compile(rb"^File: (\d+)$|^Score: ([\d.]+)$", re.MULTILINE)
_NO_EVIDENCE = 0.5
"""Of a blank message, which it passes over."""
_KINDS = {Label.HAM: "good", Label.SPAM: "spam"}


class SpamProbe:
    """SpamProbe's score, [0, 1]. Raises ToolMissing when it is not there."""

    cut = 0.6
    """Its own threshold, option ``-l``."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._program = programs.find(("spamprobe",), "spamprobe", environ)
        self._stack = ExitStack()
        self.name = "spamprobe"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._home = Path(stack.enter_context(TemporaryDirectory(prefix="spamprobe-")))
            version = re.search(rb"v([\d.]+\w*)", programs.run(self._program, ["-V"], self._home, fine=(0, 1)))
            self.name = f"spamprobe {version.group(1).decode()}" if version else "spamprobe"
            programs.run(self._program, ["-c", "-d", str(self._home / "words"), "create-db"], self._home)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def learn(self, examples: Sequence[Example]) -> None:
        """Train on these in this order, as its manual advises: where it is not sure yet. Raises TrainerError."""
        with TemporaryDirectory(dir=self._home) as folder:
            paths = carrier.write(examples, Path(folder))
            lines = [f"{_KINDS[example.label]} {path}\n" for example, path in zip(examples, paths, strict=True)]
            self._run(["train-test"], Path(folder), "".join(lines).encode())

    def score(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """float64[len(examples)]. Raises TrainerError."""
        found: dict[int, float] = {}
        file = -1
        for named, value in _SUMMARY.findall(self._summaries(examples)):
            if named:
                file = int(named)
            elif file >= 0:
                found[file] = float(value)
        missing = [n for n, example in enumerate(examples) if n not in found and example.raw.strip()]
        if missing:
            raise TrainerError(f"spamprobe scored all but {len(missing)} of {len(examples)} messages")
        return np.array([found.get(number, _NO_EVIDENCE) for number in range(len(examples))], np.float64)

    def _summaries(self, examples: Sequence[Example]) -> bytes:
        with TemporaryDirectory(dir=self._home) as folder:
            names = [path.name for path in carrier.write(examples, Path(folder))]
            starts = range(0, len(names), _FILES)
            said = [self._run(["summarize", *names[at : at + _FILES]], Path(folder)) for at in starts]
        return b"".join(said)

    def _run(self, command: Sequence[str], folder: Path, given: bytes = b"") -> bytes:
        # -M: a file is one message, whatever stands at the start of its lines.
        return programs.run(self._program, ["-d", str(self._home / "words"), "-M", *command], folder, given=given)

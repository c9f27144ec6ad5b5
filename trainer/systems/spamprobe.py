"""SpamProbe: Graham's formula over words and pairs of words. A private database, many files per process.

Source: spamprobe(1). ``summarize`` is asked instead of ``score`` because it names the file of each score.
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
_COMMANDS = {Label.HAM: "good", Label.SPAM: "spam"}


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
        """Count the words of these; order does not matter to it. Raises TrainerError."""
        for label, command in _COMMANDS.items():
            self._bulk(command, [example for example in examples if example.label is label])

    def score(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """float64[len(examples)]. Raises TrainerError."""
        found: dict[int, float] = {}
        file = -1
        for named, value in _SUMMARY.findall(self._bulk("summarize", examples)):
            if named:
                file = int(named)
            elif file >= 0:
                found[file] = float(value)
        missing = [n for n, example in enumerate(examples) if n not in found and example.raw.strip()]
        if missing:
            raise TrainerError(f"spamprobe scored all but {len(missing)} of {len(examples)} messages")
        return np.array([found.get(number, _NO_EVIDENCE) for number in range(len(examples))], np.float64)

    def _bulk(self, command: str, examples: Sequence[Example]) -> bytes:
        said = []
        with TemporaryDirectory(dir=self._home) as folder:
            names = [path.name for path in carrier.write(examples, Path(folder))]
            # -M: a file is one message, whatever stands at the start of its lines.
            options = ["-d", str(self._home / "words"), "-M", command]
            for start in range(0, len(names), _FILES):
                chosen = names[start : start + _FILES]
                said.append(programs.run(self._program, [*options, *chosen], Path(folder)))
        return b"".join(said)

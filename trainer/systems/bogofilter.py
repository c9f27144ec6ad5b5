"""bogofilter: Robinson-Fisher over single words. One private word list, learned and scored in bulk mode.

Source: bogofilter(1), options ``-b``, ``-n``, ``-s`` and ``-T``.
"""

from __future__ import annotations

import os
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

_NAMES = ("bogofilter", "bogofilter-bdb", "bogofilter-sqlite")
_VERDICTS = (0, 1, 2)
"""Exit codes that tell the verdict on the last message: spam, ham, unsure."""

_NO_EVIDENCE = 0.52
"""Its ``robx``, the spamicity of a word never seen; without a word list it refuses to score at all."""


class Bogofilter:
    """bogofilter's spamicity, [0, 1]. Raises ToolMissing when it is not there."""

    cut = 0.99
    """Its own ``spam_cutoff``."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._program = programs.find(_NAMES, "bogofilter", environ)
        self._stack = ExitStack()
        self.name = "bogofilter"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._home = Path(stack.enter_context(TemporaryDirectory(prefix="bogofilter-")))
            version = programs.run(self._program, ["-V"], self._home).split()
            self.name = f"bogofilter {version[2].decode()}" if len(version) > 2 else "bogofilter"
            self._has_learned = False
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def learn(self, examples: Sequence[Example]) -> None:
        """Add these to the word list; order does not matter to it. Raises TrainerError."""
        for label, flag in ((Label.HAM, "-n"), (Label.SPAM, "-s")):
            chosen = [example for example in examples if example.label is label]
            if chosen:
                self._bulk([flag], chosen)
                self._has_learned = True

    def score(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """float64[len(examples)]. Raises TrainerError."""
        if not examples or not self._has_learned:
            return np.full(len(examples), _NO_EVIDENCE)
        found = {}
        for line in self._bulk(["-T", "-T"], examples).splitlines():
            path, _, spamicity = line.rpartition(b" ")
            found[path.split(b" ")[0].rpartition(b"/")[2]] = float(spamicity)
        if len(found) != len(examples):
            raise TrainerError(f"bogofilter scored {len(found)} of {len(examples)} messages")
        return np.array([found[f"{number:06d}".encode()] for number in range(len(examples))], np.float64)

    def _bulk(self, flags: Sequence[str], examples: Sequence[Example]) -> bytes:
        home = self._home
        with TemporaryDirectory(dir=home) as folder:
            paths = carrier.write(examples, Path(folder))
            given = b"\n".join(map(os.fsencode, paths)) + b"\n"
            # -C: no configuration file of the machine.
            return programs.run(self._program, ["-C", "-d", str(home), *flags, "-b"], home, given=given, fine=_VERDICTS)

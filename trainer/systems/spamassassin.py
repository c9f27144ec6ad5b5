"""SpamAssassin: its rules and its Bayes classifier, without the network, in one private Perl process.

The rules are the package's own. Autolearning is off: only ``learn`` teaches. Rules about the age of a message are off,
because the corpora are years old. About 0.1 s a message: comparisons sample for it.

Source: Mail::SpamAssassin(3pm), Mail::SpamAssassin::Conf(3pm), Mail::SpamAssassin::Plugin::Bayes(3pm).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
from numpy.typing import NDArray

from trainer.errors import ToolMissing
from trainer.example import Example
from trainer.systems import carrier, processes, programs

_DRIVER = Path(__file__).with_suffix(".pl")
_DATES = ("03_06", "06_12", "12_24", "24_48", "48_96", "96_XX")
_SETTINGS = """
use_bayes 1
use_bayes_rules 1
bayes_auto_learn 0
bayes_auto_expire 0
bayes_learn_to_journal 0
# Small corpora are learned from too; its own least is 200 of each.
bayes_min_ham_num 1
bayes_min_spam_num 1
bayes_path {home}/bayes
use_auto_welcomelist 0
dns_available no
skip_rbl_checks 1
"""


class SpamAssassin:
    """SpamAssassin's points, unbounded. Raises ToolMissing when it is not there."""

    cut = 5.0
    """Its own ``required_score``."""

    def __init__(self, environ: Mapping[str, str], *, patience_seconds: float = 120) -> None:
        program = programs.find(("spamassassin",), "spamassassin", environ)
        perl = programs.find(("perl",), "perl", environ)
        self._perl = replace(perl, environment={**perl.environment, **program.environment})
        self._rules = program.root / "usr/share/spamassassin"
        self._plugins = program.root / "etc/spamassassin"
        if not (self._rules / "50_scores.cf").is_file():
            raise ToolMissing(f"{self._rules} holds no rules: install Debian's spamassassin, or run fetch.sh")
        self._patience_seconds = patience_seconds
        self._stack = ExitStack()
        self.name = "SpamAssassin"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            home = Path(stack.enter_context(TemporaryDirectory(prefix="spamassassin-")))
            self._home = home
            (home / "site").mkdir()
            for plugins in sorted(self._plugins.glob("*.pre")):
                shutil.copy(plugins, home / "site")
            dates = "".join(f"score DATE_IN_PAST_{span} 0\nscore DATE_IN_FUTURE_{span} 0\n" for span in _DATES)
            (home / "site/local.cf").write_text(_SETTINGS.format(home=home) + dates, encoding="utf-8")
            (home / "user_prefs").touch()
            arguments = [str(_DRIVER), str(self._rules), str(home / "site"), str(home)]
            process = stack.enter_context(processes.started(self._perl, arguments, home))
            log = home / f"{self._perl.path.name}.log"
            self._process = processes.Lines(process, log, patience_seconds=self._patience_seconds)
            ready = self._process.read()
            self.name = f"SpamAssassin {ready.removeprefix('ready ')}"
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def learn(self, examples: Sequence[Example]) -> None:
        """Teach its Bayes classifier these, in this order. Raises TrainerError."""
        self._ask([str(example.label) for example in examples], examples)

    def score(self, examples: Sequence[Example]) -> NDArray[np.float64]:
        """float64[len(examples)]. Raises TrainerError."""
        answers = self._ask(["score"] * len(examples), examples)
        return np.array([float(answer) for answer in answers], np.float64)

    def _ask(self, commands: Sequence[str], examples: Sequence[Example]) -> list[str]:
        with TemporaryDirectory(dir=self._home) as folder:
            paths = carrier.write(examples, Path(folder))
            return [self._process.ask(f"{command} {path}") for command, path in zip(commands, paths, strict=True)]

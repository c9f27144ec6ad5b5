"""Every filter there is to compare with, by the name that the command line knows it by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import cast

from trainer.errors import TrainerError
from trainer.systems.system import System


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How one filter is opened."""

    module: str
    """Imported when it is asked for: some take seconds."""
    kind: str
    """Its class in the module."""
    is_program: bool = True
    """A program of the machine, which is looked for in the environment."""
    is_slow: bool = False
    """Learns and scores a sample where everything would take hours."""

    def open(self, environ: Mapping[str, str]) -> System:
        """The filter, empty. Raises ToolMissing where it is a program that is not there."""
        kind = getattr(import_module(self.module), self.kind)
        return cast("System", kind(environ) if self.is_program else kind())


SYSTEMS: Mapping[str, Entry] = MappingProxyType(
    {
        "bogofilter": Entry(module="trainer.systems.bogofilter", kind="Bogofilter"),
        "spamprobe": Entry(module="trainer.systems.spamprobe", kind="SpamProbe"),
        "spamassassin": Entry(module="trainer.systems.spamassassin", kind="SpamAssassin", is_slow=True),
        "rspamd": Entry(module="trainer.systems.rspamd", kind="Rspamd"),
        "logistic": Entry(module="trainer.systems.linear", kind="OnlineLogistic", is_program=False),
        "svm": Entry(module="trainer.systems.linear", kind="LinearSvm", is_program=False),
    }
)


def chosen(names: Sequence[str]) -> dict[str, Entry]:
    """These filters, in this order; all of them for no name. Raises TrainerError for a name that is none."""
    for name in names:
        if name not in SYSTEMS:
            raise TrainerError(f"there is no system {name!r}; choose among {', '.join(SYSTEMS)}")
    return {name: SYSTEMS[name] for name in (names or SYSTEMS)}

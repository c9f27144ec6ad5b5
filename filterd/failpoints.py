"""Places where a test may strike: end the process, raise, or stand still, exactly there.

Off, and one comparison per place, unless ``FILTERD_FAILPOINTS`` names a folder when the process starts. A file in it
arms the failpoint of its name; what it holds is what happens, once, in the first process that gets there and takes
the file away::

    kill [SECONDS]   stand still, then SIGKILL to this process: neither buffers nor handlers run
    fail             raise Struck, an error nobody expects
    delay SECONDS    stand still, and with this thread whatever runs on it

A file that has gone is a failpoint that was reached. What each place means is in ``docs/delivery.md``; the reasons
are in ``docs/decisions/0008-failpoints.md``. Not for production: whoever sets the variable wants messages to fail.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "FILTERD_FAILPOINTS"


class Struck(Exception):
    """A failpoint was told to fail."""


@dataclass(slots=True)
class _Process:
    folder: Path | None = None


_process = _Process()
"""The one thing a process remembers: set by its program at the start, else never."""


def arm(environ: Mapping[str, str]) -> None:
    """Watch the folder that ``FILTERD_FAILPOINTS`` names. Called once, by the program, before anything else."""
    _process.folder = Path(environ[VARIABLE]) if environ.get(VARIABLE) else None


def failpoint(name: str) -> None:
    """Do what the test wants at the place ``name``; nothing where there is no test."""
    if _process.folder is not None:
        _pass(_process.folder / name)


def _pass(order: Path) -> None:
    try:
        action, _, argument = order.read_text(encoding="ascii").strip().partition(" ")
        order.unlink()
    except FileNotFoundError:
        return
    if action == "fail":
        raise Struck(order.name)
    time.sleep(float(argument or 0))
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)

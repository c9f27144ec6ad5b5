"""Programs that ask spamd and rspamd, from ``.servers/tree`` or from the machine."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

UNPACKED = Path(__file__).parents[2] / ".servers/tree"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a program printed, and how it ended."""

    code: int
    text: bytes


def libraries() -> str:
    """Where programs of ``.servers/tree`` find what came with them, as LD_LIBRARY_PATH."""
    root = UNPACKED
    folders = (
        *(root / "usr/lib").glob("*-linux-gnu*"),
        *(root / "lib").glob("*-linux-gnu*"),
        root / "usr/lib",
        root / "usr/lib/rspamd",
    )
    return ":".join(str(folder) for folder in folders)


def find(program: str) -> Path:
    """Where ``usr/bin/spamc`` and the like are; without it the test is skipped, and fails in continuous integration."""
    found = next((root / program for root in (UNPACKED, Path("/")) if (root / program).exists()), None)
    if found is None:
        missing = f"{program} is missing: run tests/servers/fetch.sh"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


def run(program: str, *arguments: str, mail: bytes = b"") -> Answer:
    """Run a client to its end with ``mail`` on its standard input."""
    done = subprocess.run(
        [find(program), *arguments],
        input=mail,
        env={**os.environ, "LD_LIBRARY_PATH": libraries()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    return Answer(code=done.returncode, text=done.stdout)

"""Where the programs to compare with are: on the PATH, or unpacked by ``tests/servers/fetch.sh`` into ``.servers``.

Unpacked programs run from where they lie: their libraries and Perl modules are named in the environment, and whoever
starts one gives it paths below ``root`` instead of those it was compiled with. Nothing is installed or configured.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import ToolMissing, TrainerError

ASIDE = Path(__file__).parents[2] / ".servers"
"""What the checkout keeps beside the machine."""
_FOLDERS = ("usr/bin", "usr/sbin")
_ERROR_BYTES = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One executable and what it needs to run."""

    path: Path
    root: Path
    """What stands for ``/`` in the paths of its package."""
    environment: Mapping[str, str]


def find(names: Sequence[str], package: str, environ: Mapping[str, str], aside: Path | None = None) -> Program:
    """The first of ``names`` that is there; the PATH comes first. Raises ToolMissing, which names the package."""
    for name in names:
        if found := shutil.which(name, path=environ.get("PATH", "")):
            return _program(Path(found).resolve().parent / name, Path("/"), environ)
    tree = (aside or ASIDE) / "tree"
    for name in names:
        for folder in _FOLDERS:
            if (tree / folder / name).is_file():
                return _program(tree / folder / name, tree, environ)
    raise ToolMissing(f"{names[0]} is missing: install Debian's {package}, or run tests/servers/fetch.sh")


def _program(path: Path, root: Path, environ: Mapping[str, str]) -> Program:
    environment = {"PATH": environ.get("PATH", ""), "LANG": "C.UTF-8"}
    if root != Path("/"):
        libraries = (*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu"), *root.glob("usr/lib/rspamd"))
        modules = (root / "usr/share/perl5", *root.glob("usr/lib/*-linux-gnu/perl5/*"))
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, libraries))
        environment["PERL5LIB"] = os.pathsep.join(map(str, modules))
    return Program(path=path, root=root, environment=environment)


def run(
    program: Program,
    arguments: Sequence[str],
    folder: Path,
    *,
    given: bytes = b"",
    timeout_seconds: float = 1800,
    fine: Sequence[int] = (0,),
) -> bytes:
    """What the program prints, run in ``folder``, which is its home too. Raises TrainerError when it fails."""
    try:
        done = subprocess.run(  # noqa: S603  (a program of the developer's machine)
            [str(program.path), *arguments],
            cwd=folder,
            env={**program.environment, "HOME": str(folder)},
            input=given,
            capture_output=True,
            check=False,
            timeout=timeout_seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise TrainerError(f"{program.path}: {exc}") from exc
    if done.returncode not in fine:
        said = (done.stderr or done.stdout).decode("utf-8", "replace")[:_ERROR_BYTES].strip()
        raise TrainerError(f"{program.path} failed with {done.returncode}: {said}")
    return done.stdout

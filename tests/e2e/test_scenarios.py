"""Every folder here that has a ``scenario.toml`` is played against the real daemon; see ``runner.py``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from runner import Scenario, play  # noqa: E402  # the folder is not a package

FOLDERS = sorted(path.parent for path in HERE.glob("s*/scenario.toml"))


@pytest.mark.slow
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_scenario(folder: Path, tmp_path: Path) -> None:
    play(Scenario.read(folder), tmp_path)

"""Failpoints: nothing happens unless the process was started for it, and then once."""

from __future__ import annotations

import ast
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from filterd.failpoints import VARIABLE, Struck, arm, failpoint

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    arm({VARIABLE: str(tmp_path)})
    yield tmp_path
    arm({})


def test_failpoint_when_not_armed_is_passed(tmp_path: Path) -> None:
    (tmp_path / "a.b").write_text("fail")

    failpoint("a.b")

    assert (tmp_path / "a.b").exists()


def test_failpoint_when_armed_strikes_once_and_takes_its_order_away(folder: Path) -> None:
    (folder / "a.b").write_text("fail")

    failpoint("a.other")
    with pytest.raises(Struck, match=r"a\.b"):
        failpoint("a.b")
    failpoint("a.b")

    assert not list(folder.iterdir())


def test_failpoint_when_told_to_delay_stands_still(folder: Path) -> None:
    (folder / "a.b").write_text("delay 0.05")
    before = time.monotonic()

    failpoint("a.b")

    assert time.monotonic() - before >= 0.05


def test_failpoint_when_told_to_kill_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "a.b").write_text("kill")
    program = (
        "import os; from filterd.failpoints import *; arm(os.environ)\n"
        "try: failpoint('a.b')\nfinally: print('handlers run')"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], env={VARIABLE: str(tmp_path)}, cwd=ROOT, capture_output=True, check=False
    )

    assert done.returncode == -signal.SIGKILL
    assert done.stdout == b""


def test_every_failpoint_is_described_in_the_contract() -> None:
    described = set(re.findall(r"(?m)^\| `([a-z]+\.[a-z]+)` \|", (ROOT / "docs/delivery.md").read_text("utf-8")))
    names = [
        str(node.args[0].value)
        for path in (ROOT / "filterd").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "failpoint"
        and isinstance(node.args[0], ast.Constant)
    ]

    assert sorted(names) == sorted(described)

"""What fuzzing found stays found: every kept input, and the seeds, through its target."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

FOLDER = Path(__file__).parent / "regressions"
KEPT = sorted(FOLDER.glob("*/*.txt"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_input_that_once_broke_a_promise_keeps_it(path: Path) -> None:
    TARGETS[path.parent.name]()(ast.literal_eval(path.read_text(encoding="ascii")))


@pytest.mark.parametrize("name", TARGETS)
def test_target_when_given_its_seeds_and_next_to_nothing_keeps_its_promise(name: str) -> None:
    target = TARGETS[name]()
    for data in (b"", b"\0", b"\xff" * 8, *seeds(name)):
        target(data)


def test_kept_inputs_belong_to_targets() -> None:
    assert {path.parent.name for path in KEPT} <= set(TARGETS)

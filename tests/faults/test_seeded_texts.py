"""The seeded bugs can be put in: what each replaces stands in the code once, and its tests are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.seeded_bugs import BUGS, Bug

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_seeded_bug_can_be_put_in(bug: Bug) -> None:
    assert (ROOT / bug.path).read_text(encoding="utf-8").count(bug.text) == 1
    assert bug.wrong != bug.text
    assert all((ROOT / test.partition("::")[0]).is_file() for test in bug.tests)

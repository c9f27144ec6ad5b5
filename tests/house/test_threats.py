"""Every attack in ``docs/threats.md`` has a test that names it, and no test names an attack that is not there."""

from __future__ import annotations

import pytest

from tests.house import threats

PROOFS = threats.proofs()


@pytest.mark.parametrize("id", threats.rows())
def test_threat_when_it_is_listed_has_a_test(id: str) -> None:
    assert PROOFS[id], f"no test is named test_{id.lower()}_..."


def test_threat_when_a_test_names_it_is_listed() -> None:
    assert set(PROOFS) == set(threats.rows())

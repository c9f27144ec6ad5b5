"""Every invariant of custody has a test that names it, and no test names one that is not there."""

from __future__ import annotations

import pytest

from tests.house import invariants

PROOFS = invariants.proofs()


@pytest.mark.parametrize("id", invariants.INVARIANTS)
def test_invariant_has_a_test(id: str) -> None:
    assert PROOFS[id], f'no test is marked pytest.mark.invariant("{id}")'


def test_invariant_that_a_test_names_is_listed() -> None:
    assert set(PROOFS) == set(invariants.INVARIANTS)


def test_invariants_have_state_machines_or_runs_under_fault() -> None:
    """No invariant rests on single examples alone."""
    machines = {id for id, tests in PROOFS.items() for _, name in tests if name.startswith("Test")}

    assert machines == set(invariants.INVARIANTS)

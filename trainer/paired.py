"""What two bundles got wrong of the same messages, counted side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.errors import GateError
from trainer.intervals import mcnemar
from trainer.judged import Bools, Judged, Measurements, joined
from trainer.metrics import upper_bound

ROUNDING = 1e-9
"""Of shares that are compared with a margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What two bundles got wrong of the same messages, counted."""

    total: int
    wrong: int
    wrong_before: int
    lost: int
    """Only the candidate is wrong."""
    won: int
    """Only the incumbent is."""
    p: float

    @classmethod
    def of(cls, candidate: Judged, incumbent: Judged, where: Bools) -> Pair:
        """The messages ``where`` says, bool[N], of sets that ``both`` or ``together`` gave."""
        new, old = candidate.is_wrong[where], incumbent.is_wrong[where]
        return cls(
            total=int(where.sum()),
            wrong=int(new.sum()),
            wrong_before=int(old.sum()),
            lost=int((new & ~old).sum()),
            won=int((old & ~new).sum()),
            p=mcnemar(new, old),
        )

    @property
    def excess(self) -> int:
        """Errors more than the incumbent's."""
        return self.wrong - self.wrong_before

    @property
    def bound(self) -> float:
        """Upper end of the candidate's share of errors, [0, 1]."""
        return upper_bound(self.wrong, self.total)

    @property
    def bound_before(self) -> float:
        """The same of the incumbent."""
        return upper_bound(self.wrong_before, self.total)

    @property
    def rise(self) -> float:
        """How much higher the candidate's bound is."""
        return self.bound - self.bound_before

    def is_significant(self, significance: float) -> bool:
        """Worse, and not by chance."""
        return self.excess > 0 and self.p < significance

    def is_worse(self, margin: float, significance: float) -> bool:
        """More errors than the margin allows, a share of the messages; or worse, and not by chance."""
        return self.excess > margin * self.total + ROUNDING or self.is_significant(significance)

    def words(self, what: str) -> str:
        """The counts."""
        return f"{self.wrong} of {self.total} {what}, the incumbent {self.wrong_before} (p = {self.p:.3f})"


def together(candidate: Measurements, incumbent: Measurements, names: Sequence[str]) -> tuple[Judged, Judged] | None:
    """Those of the sets that were measured, as one set each; None without any."""
    pairs = [both(getattr(candidate, name), getattr(incumbent, name), name) for name in names]
    measured = [pair for pair in pairs if pair is not None]
    if not measured:
        return None
    return joined([new for new, _ in measured]), joined([old for _, old in measured])


def both(candidate: Judged | None, incumbent: Judged | None, name: str) -> tuple[Judged, Judged] | None:
    """The set as both judged it; None where there is none or nothing in it. Raises GateError."""
    if candidate is None and incumbent is None:
        return None
    if candidate is None or incumbent is None:
        raise GateError(f"only one of the two bundles was measured on the {name}; measure both in one run")
    if candidate.ids != incumbent.ids or not np.array_equal(candidate.is_spam, incumbent.is_spam):
        raise GateError(f"the two bundles were not measured on the same {name}; measure both in one run")
    return (candidate, incumbent) if candidate.ids else None

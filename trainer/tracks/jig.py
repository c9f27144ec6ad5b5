"""The TREC jig: a system judges each message of a stream, then learns what the people report of it.

Source: Cormack and Lynam, TREC 2005 Spam Track Overview, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainer.example import Label
from trainer.metrics import hm, lam, one_minus_roca, sm, sm_at_hm
from trainer.systems.system import System
from trainer.tracks.feedback import Reporter
from trainer.tracks.poison import Item

_EVERY = 100
"""Messages between two looks at how good the system has become."""
_LEAST_HAM = 200
"""A half per cent of fewer is less than one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A stream as one system judged it; attacks are left out."""

    scores: NDArray[np.float64]
    """float64[N], each given before the message's own report."""
    labels: NDArray[np.bool_]
    """bool[N]: true for spam."""
    reports: NDArray[np.int64]
    """int64[N]: reports that had come in before the message was judged."""
    targets: NDArray[np.bool_]
    """bool[N]: true for ham that an attack aims at."""
    cut: float
    reported: int
    """Reports in all, those of attacks left out."""

    def ham(self, upto: int | None = None) -> NDArray[np.float64]:
        """Scores of the ham among the first so many messages."""
        return self.scores[:upto][~self.labels[:upto]]

    def spam(self, upto: int | None = None) -> NDArray[np.float64]:
        """Scores of the spam among the first so many messages."""
        return self.scores[:upto][self.labels[:upto]]

    def roca(self, upto: int | None = None) -> float:
        """1-ROCA of the first so many messages, per cent; NaN while a label is missing."""
        return one_minus_roca(self.ham(upto), self.spam(upto))

    def figures(self) -> dict[str, float]:
        """Per cent: 1-ROCA, sm at hm .1, .5 and 1 %, and hm, sm and lam at the system's cut; and the reports."""
        ham, spam = self.ham(), self.spam()
        return {
            "roca": self.roca(),
            **{f"sm_at_hm_{name}": sm_at_hm(ham, spam, at) for name, at in (("01", 0.001), ("05", 0.005), ("1", 0.01))},
            "hm": hm(ham, self.cut),
            "sm": sm(spam, self.cut),
            "lam": lam(ham, spam, self.cut),
            "reports": float(self.reported),
        }

    def curve(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Messages, and 1-ROCA of all up to there."""
        at = np.unique(np.geomspace(min(50, len(self.scores)), len(self.scores), 60).astype(np.int64))
        return at, np.array([self.roca(int(n)) for n in at], np.float64)

    def efficiency(self, ham_loss: float = 0.005, missed: float = 5.0) -> int | None:
        """Reports after which spam missed at that ham loss, over all messages so far, stays within ``missed`` per cent.

        None where it never does.
        """
        good: int | None = None
        for end in range(_EVERY, len(self.scores) + 1, _EVERY):
            ham, spam = self.ham(end), self.spam(end)
            if len(ham) >= _LEAST_HAM and sm_at_hm(ham, spam, ham_loss) <= missed:
                good = int(self.reports[end - 1]) if good is None else good
            else:
                good = None
        return good


def run(system: System, items: Sequence[Item], reporter: Reporter) -> Run:
    """Judge and report the whole stream. The system sees no label but the reported ones."""
    scores, reports, told = [], [], 0
    for item in items:
        score = float(system.score([item.example])[0])
        if item.is_attack:
            system.learn([item.example])
            continue
        scores.append(score)
        reports.append(told)
        label = reporter(item.example, score - system.cut)
        if label is not None:
            told += 1
            system.learn([replace(item.example, label=label)])
    counted = [item for item in items if not item.is_attack]
    return Run(
        scores=np.array(scores, np.float64),
        labels=np.array([item.example.label is Label.SPAM for item in counted], bool),
        reports=np.array(reports, np.int64),
        targets=np.array([item.is_target for item in counted], bool),
        cut=system.cut,
        reported=told,
    )

"""What filters did on one test, side by side: figures per corpus and pooled, and the tables that show them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.intervals import Bootstrap, Interval, caught_at, mcnemar, rate
from trainer.measurement import Table
from trainer.metrics import rates

ALL = "all"
"""The row in which every corpus is pooled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What all are measured on, position by position."""

    labels: NDArray[np.float32]
    """1 for spam, 0 for ham."""
    corpora: NDArray[np.str_]
    clusters: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What one filter made of its part of the test."""

    name: str
    cut: float
    positions: NDArray[np.int64]
    """Of the messages it scored, in the test."""
    scores: NDArray[np.float64]
    learned: int = 0
    """Messages it was trained on here; 0 for a bundle, which brings its training."""
    learn_seconds: float = 0.0
    score_seconds: float = 0.0
    """For all of them, on this machine as busy as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One filter on one corpus, beside ours on the same messages."""

    system: str
    corpus: str
    ham: int
    spam: int
    caught: Interval
    """Share of spam at its own cut."""
    lost: Interval
    """Share of ham at its own cut."""
    our_loss: float
    """Share of ham that ours loses at its own cut, [0, 1]."""
    caught_at_our_loss: Interval
    roca: Interval
    """1-ROCA, per cent."""
    difference: Interval | None
    """logit(our 1-ROCA) - logit(its 1-ROCA); None for ours itself and where a label is missing."""
    ours_caught: Interval
    """What ours catches at its own ham loss."""
    p: float
    """McNemar's, of both catching equally often at our ham loss."""

    @property
    def verdict(self) -> str:
        """How ours did: win, lose, undecided, or a dash where there is no difference to speak of."""
        if self.difference is None:
            return "-"
        if not self.difference.excludes_zero:
            return "undecided"
        return "win" if self.difference.high < 0 else "lose"


def rows(test: Facts, ours: Scored, theirs: Sequence[Scored], *, resamples: int = 1000) -> list[Row]:
    """Every filter on every corpus it scored and on all of them pooled; ours comes first, beside itself.

    ``ours`` has scored the whole test.
    """
    out = []
    for other in (ours, *theirs):
        own = ours.scores[other.positions]
        corpora = test.corpora[other.positions]
        for corpus in (*np.unique(corpora), ALL):
            inside = (corpora == corpus) | (corpus == ALL)
            where = other.positions[inside]
            bootstrap = Bootstrap(test.labels[where], test.clusters[where], resamples=resamples)
            out.append(_row(str(corpus), test.labels[where], bootstrap, other, other.scores[inside], ours, own[inside]))
    return out


def _row(
    corpus: str,
    labels: NDArray[np.float32],
    bootstrap: Bootstrap,
    system: Scored,
    scores: NDArray[np.float64],
    our: Scored,
    ours: NDArray[np.float64],
) -> Row:
    counts, mine = rates(scores, labels, system.cut), rates(ours, labels, our.cut)
    nothing = np.zeros(0, np.bool_)
    has_difference = bootstrap.has_both_labels and system is not our
    loss = mine["ham_lost"] / mine["ham"] if mine["ham"] else math.nan
    matched = caught_at(scores, labels, loss) if bootstrap.has_both_labels else nothing
    own = caught_at(ours, labels, loss) if bootstrap.has_both_labels else nothing
    return Row(
        system=system.name,
        corpus=corpus,
        ham=counts["ham"],
        spam=counts["spam"],
        caught=rate(counts["spam_caught"], counts["spam"]),
        lost=rate(counts["ham_lost"], counts["ham"]),
        our_loss=loss,
        caught_at_our_loss=rate(int(matched.sum()), len(matched)),
        roca=bootstrap.roca(scores),
        difference=bootstrap.difference(ours, scores) if has_difference else None,
        ours_caught=rate(int(own.sum()), len(own)),
        p=mcnemar(own, matched),
    )


def tables(found: Sequence[Row], scored: Sequence[Scored]) -> tuple[Table, ...]:
    """All corpora pooled, then one table per corpus, then what each cost."""
    names = [row.corpus for row in found if row.corpus != ALL]
    corpora = [ALL, *dict.fromkeys(names)]
    return (*(_table(corpus, [row for row in found if row.corpus == corpus]) for corpus in corpora), _costs(scored))


def _table(corpus: str, found: Sequence[Row]) -> Table:
    title = "Every corpus pooled." if corpus == ALL else f"Corpus `{corpus}`."
    head = (
        "ham, spam",
        "caught",
        "ham lost",
        "caught at our ham loss",
        "ours there",
        "p",
        "1-ROCA %",
        "ours minus its",
    )
    return Table(title=title, columns=("filter", *head, "ours"), rows=tuple(map(_cells, found)))


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.system,
        f"{row.ham}, {row.spam}",
        share(row.caught),
        share(row.lost),
        share(row.caught_at_our_loss),
        share(row.ours_caught),
        f"{row.p:.2g}" if row.difference else "-",
        _interval(row.roca, "{:.2f}"),
        _interval(row.difference, "{:+.2f}") if row.difference else "-",
        row.verdict,
    )


def share(interval: Interval) -> str:
    """``93.1 % [91.0, 94.8]``, or a dash when there is nothing to count."""
    if math.isnan(interval.estimate):
        return "-"
    return f"{100 * interval.estimate:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _interval(interval: Interval, form: str) -> str:
    if math.isnan(interval.estimate):
        return "-"
    return f"{form.format(interval.estimate)} [{form.format(interval.low)}, {form.format(interval.high)}]"


def _costs(scored: Sequence[Scored]) -> Table:
    return Table(
        title="Messages learned from and scored, and wall time for each, on one machine that did other work too.",
        columns=("filter", "learned", "ms each", "scored", "ms each", "its own cut"),
        rows=tuple(
            (
                each.name,
                str(each.learned) if each.learned else "-",
                f"{1000 * each.learn_seconds / each.learned:.2f}" if each.learned else "-",
                str(len(each.scores)),
                f"{1000 * each.score_seconds / max(len(each.scores), 1):.2f}",
                f"{each.cut:.3g}",
            )
            for each in scored
        ),
    )


def figures(found: Sequence[Row], scored: Sequence[Scored]) -> Mapping[str, Any]:
    """The same unrounded: filter -> corpus -> figures, and filter -> cost; None for what is not a number."""
    out: dict[str, Any] = {each.name: {"cost": _cost(each), "corpora": {}} for each in scored}
    for row in found:
        tree = {**asdict(row), "verdict": row.verdict}
        out[row.system]["corpora"][row.corpus] = _finite(
            {k: v for k, v in tree.items() if k not in {"system", "corpus"}}
        )
    return out


def _cost(each: Scored) -> dict[str, Any]:
    return {
        "learned": each.learned,
        "scored": len(each.scores),
        "learn_seconds": each.learn_seconds,
        "score_seconds": each.score_seconds,
        "cut": each.cut,
    }


def _finite(tree: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(tree, dict):
        return {key: _finite(value) for key, value in tree.items()}
    return None if isinstance(tree, float) and math.isnan(tree) else tree

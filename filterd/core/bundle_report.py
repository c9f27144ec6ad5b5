"""What ``report.json`` of a bundle says: figures per corpus, how it learned, and what the gate said.

Bundles differ in what they bring: what is left out is empty here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from filterd.errors import ContractMismatch


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusFigures:
    """How a bundle did on the test part of one corpus."""

    corpus: str
    ham: int
    spam: int
    ham_lost: Mapping[str, int]
    """Operating point -> ham not accepted."""
    spam_caught: Mapping[str, int]
    """Operating point -> spam not accepted."""

    def ham_loss(self, point: str) -> float | None:
        """Share of the ham that is lost, [0, 1]; None without ham."""
        return _share(self.ham_lost, point, self.ham)

    def spam_catch(self, point: str) -> float | None:
        """Share of the spam that is caught, [0, 1]; None without spam."""
        return _share(self.spam_caught, point, self.spam)


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFinding:
    """What one rule of the gate said."""

    rule: str
    result: str
    figures: str
    refuses: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleReport:
    """``report.json``."""

    corpora: tuple[CorpusFigures, ...] = ()
    history: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Figure -> its value after each epoch."""
    gate: tuple[GateFinding, ...] = ()
    """Empty where the gate was not asked."""
    gate_incumbent: str = ""
    """The bundle that it was held against."""

    @property
    def is_refused(self) -> bool:
        """A rule of the gate refused it."""
        return any(finding.refuses for finding in self.gate)


def report_from_json(text: str) -> BundleReport:
    """The report in ``text``. Raises ContractMismatch where it is not one."""
    try:
        tree: Mapping[str, Any] = json.loads(text)
        gate: Mapping[str, Any] = tree.get("gate", {})
        return BundleReport(
            corpora=tuple(_figures(row) for row in tree.get("rows", ())),
            history={str(name): tuple(map(float, values)) for name, values in tree.get("history", {}).items()},
            gate=tuple(_finding(rule) for rule in gate.get("rules", ())),
            gate_incumbent=str(gate.get("incumbent", "")),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise ContractMismatch(f"report.json cannot be read: {type(exc).__name__}") from None


def _figures(row: Mapping[str, Any]) -> CorpusFigures:
    points: Mapping[str, Mapping[str, Any]] = row["points"]
    return CorpusFigures(
        corpus=str(row["corpus"]),
        ham=int(row["ham"]),
        spam=int(row["spam"]),
        ham_lost={name: int(counts["ham_lost"]) for name, counts in points.items()},
        spam_caught={name: int(counts["spam_caught"]) for name, counts in points.items()},
    )


def _finding(rule: Mapping[str, Any]) -> GateFinding:
    return GateFinding(
        rule=str(rule["rule"]), result=str(rule["result"]), figures=str(rule["figures"]), refuses=bool(rule["refuses"])
    )


def pooled(corpora: Sequence[CorpusFigures], point: str) -> tuple[float | None, float | None]:
    """Mean ham loss and spam catch of the corpora that have any, [0, 1]: each corpus counts once."""
    losses = [loss for each in corpora if (loss := each.ham_loss(point)) is not None]
    catches = [catch for each in corpora if (catch := each.spam_catch(point)) is not None]
    return _mean(losses), _mean(catches)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _share(counts: Mapping[str, int], point: str, whole: int) -> float | None:
    return counts[point] / whole if whole and point in counts else None

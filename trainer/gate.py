"""Whether a candidate may take the incumbent's place: every rule, and what they say together.

Pure: measurements in, a result out. Nothing passes in silence: a rule without anything to measure says so, and whether
that alone refuses the candidate is decided rule by rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from trainer import gate_rules
from trainer.gate_rules import GateRules, Passed, Rule
from trainer.judged import Measurements
from trainer.measurement import Table

RULES: Mapping[str, tuple[Rule, bool]] = MappingProxyType(
    {
        "golden set": (gate_rules.golden, True),
        "modern ham": (gate_rules.tripwire, True),
        "ham loss": (gate_rules.ham_loss, True),
        "slices": (gate_rules.slices, False),
        "calibration": (gate_rules.calibration, True),
        "robustness": (gate_rules.robustness, True),
        "corpora": (gate_rules.corpora, False),
        "poisoning": (gate_rules.poisoning, True),
        "newest labels": (gate_rules.newest, False),
        "speed": (gate_rules.speed, True),
        "size": (gate_rules.size, True),
    }
)
"""Rule, and whether a candidate is refused where it cannot be measured. Only what a site need not have may be missing:
labels of its own, slices that are large enough, and the corpora."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule applied."""

    rule: str
    passed: Passed
    sentence: str
    is_blocking: bool
    """Whether this refuses the candidate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """What the gate says of a candidate."""

    candidate: str
    incumbent: str
    findings: tuple[Finding, ...]

    @property
    def is_promoted(self) -> bool:
        """No rule refuses it."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is refused, one sentence a rule; empty where it is not."""
        return tuple(f"{each.rule}: {each.sentence}" for each in self.findings if each.is_blocking)

    def lines(self) -> list[str]:
        """Markdown: the verdict and the table of rules."""
        verdict = "promoted" if self.is_promoted else "refused"
        title = f"`{self.candidate}` against `{self.incumbent}`: **{verdict}**."
        rows = tuple((each.rule, each.passed.value, each.sentence) for each in self.findings)
        return Table(title=title, columns=("rule", "result", "figures"), rows=rows).lines()


def as_json(result: GateResult) -> dict[str, object]:
    """The same as JSON types."""
    return {
        "candidate": result.candidate,
        "incumbent": result.incumbent,
        "promoted": result.is_promoted,
        "rules": [
            {"rule": each.rule, "result": each.passed.value, "figures": each.sentence, "refuses": each.is_blocking}
            for each in result.findings
        ],
    }


def compare(candidate: Measurements, incumbent: Measurements, rules: GateRules | None = None) -> GateResult:
    """Every rule, in a fixed order. Raises GateError unless both judged the same messages."""
    rules = rules or GateRules()
    findings = []
    for name, (rule, must_be_measured) in RULES.items():
        passed, sentence = rule(candidate, incumbent, rules)
        blocks = passed is Passed.NO or (passed is Passed.NOT_MEASURED and must_be_measured)
        findings.append(Finding(rule=name, passed=passed, sentence=sentence, is_blocking=blocks))
    return GateResult(candidate=candidate.bundle, incumbent=incumbent.bundle, findings=tuple(findings))

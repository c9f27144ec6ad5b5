"""The rules of the gate: each a small pure function of two measurements that says passed or failed, with the figures.

Most compare with the incumbent on the same messages and allow a margin, so that a copy of the incumbent always passes.
"Significantly" is McNemar's exact test, two-sided, by which six disagreements of six are p = .031.

Sources: McNemar 1947; Clopper and Pearson 1934; Nelson et al., LEET 2008 (the attack that the probe looks for).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from trainer.errors import GateError
from trainer.judged import Judged, Measurements, joined
from trainer.paired import ROUNDING, Pair, both, together
from trainer.reliability import brier, ece


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRules:
    """How much worse a candidate may be. Shares are in [0, 1]."""

    significance: float = 0.05
    """p below which a difference is no chance; where a rule makes several comparisons they share it (Bonferroni)."""
    ham_margin: float = 0.01
    """Share of a set's ham that the candidate may hold on top."""
    spam_margin: float = 0.02
    """Share of a set's spam that it may miss on top."""
    ham_loss_bound: float = 0.025
    """What the upper bound of the ham loss may reach; where the incumbent's is higher already, no more than that."""
    slice_ham_margin: float = 0.05
    """What the upper bound of a slice's ham loss may rise by; one message alone never is too much."""
    slice_spam_margin: float = 0.10
    slice_least: int = 20
    """Messages of a label below which a slice says nothing."""
    ece_margin: float = 0.02
    brier_margin: float = 0.01
    attack_margin: float = 0.10
    """Share of an attack's messages that the candidate may get wrong on top."""
    attacks_margin: float = 0.05
    """The same of all attacks together, and of the probe of common words."""
    corpus_margin: float = 0.05
    """Share of a corpus's messages of a label that it may get wrong on top."""
    poison_margin: float = 0.03
    """What the mean probability of ham with common words may rise by."""
    newest_margin: float = 0.02
    """Share of the newest labels that may be lost on top of those won: of less than fifty not one."""
    slowdown: float = 1.25
    """Times the incumbent's CPU time of a message."""
    megabytes: float = 8.0
    """Size of the graph; where the incumbent's is larger already, no larger than that."""


class Passed(StrEnum):
    """What became of a rule."""

    YES = "passed"
    NO = "failed"
    NOT_MEASURED = "not measured"


Outcome = tuple[Passed, str]
"""And a sentence."""
Rule = Callable[[Measurements, Measurements, GateRules], Outcome]


def golden(candidate: Measurements, incumbent: Measurements, rules: GateRules) -> Outcome:
    """No worse on the frozen golden set, ham and spam each by themselves."""
    sets = both(candidate.golden, incumbent.golden, "golden set")
    if sets is None:
        return _unmeasured("no golden set")
    ham = _no_worse("ham held", Pair.of(*sets, sets[0].is_ham), rules.ham_margin, rules.significance)
    spam = _no_worse("spam missed", Pair.of(*sets, sets[0].is_spam), rules.spam_margin, rules.significance)
    # A set of one label is a set that says half: what is missing counts as not measured, unless the other half failed.
    passed = next(each for each in (Passed.NO, Passed.NOT_MEASURED, Passed.YES) if each in {ham[0], spam[0]})
    return passed, f"{ham[1]}; {spam[1]}"


def tripwire(candidate: Measurements, incumbent: Measurements, rules: GateRules) -> Outcome:
    """No worse on ham of today that no training reads."""
    sets = both(candidate.tripwire, incumbent.tripwire, "tripwire")
    if sets is None:
        return _unmeasured("no ham of today")
    return _no_worse("ham held", Pair.of(*sets, sets[0].is_ham), rules.ham_margin, rules.significance)


def ham_loss(candidate: Measurements, incumbent: Measurements, rules: GateRules) -> Outcome:
    """The ham loss on golden set and tripwire together, at the upper end of its interval."""
    sets = together(candidate, incumbent, ("golden", "tripwire"))
    if sets is None or not sets[0].is_ham.any():
        return _unmeasured("no ham")
    pair = Pair.of(*sets, sets[0].is_ham)
    allowed = max(rules.ham_loss_bound, pair.bound_before)
    sentence = (
        f"{pair.wrong} of {pair.total} ham held, at most {_percent(pair.bound)} with 95 % confidence; "
        f"{_percent(allowed)} is allowed, the incumbent has {_percent(pair.bound_before)}"
    )
    return _passed(pair.bound <= allowed + ROUNDING), sentence


def slices(candidate: Measurements, incumbent: Measurements, rules: GateRules) -> Outcome:
    """No channel, script, language or length much worse, by the bounds of its ham loss and of its missed spam."""
    sets = together(candidate, incumbent, ("golden", "tripwire", "newest"))
    if sets is None:
        return _unmeasured("nothing that could be sliced")
    pairs = _by_slice(*sets, rules.slice_least)
    if not pairs:
        return _unmeasured(f"no slice has {rules.slice_least} messages of a label")
    alpha = rules.significance / len(pairs)
    worse = []
    for name, pair in pairs.items():
        margin = rules.slice_spam_margin if name.endswith(" spam") else rules.slice_ham_margin
        if (pair.excess > 1 and pair.rise > margin + ROUNDING) or pair.is_significant(alpha):
            worse.append(name)
    return _told(pairs, worse, lambda pair: pair.rise)


def calibration(candidate: Measurements, incumbent: Measurements, rules: GateRules) -> Outcome:
    """Probabilities about as honest as before on the golden set: ECE and Brier."""
    sets = both(candidate.golden, incumbent.golden, "golden set")
    if sets is None or not (sets[0].is_spam.any() and sets[0].is_ham.any()):
        return _unmeasured("no golden set with ham and spam")
    labels = sets[0].is_spam.astype(np.float64)
    new, old = ([measure(each.probabilities, labels) for measure in (ece, brier)] for each in sets)
    passed = new[0] <= old[0] + rules.ece_margin + ROUNDING and new[1] <= old[1] + rules.brier_margin + ROUNDING
    sentence = (
        f"ECE {new[0]:.3f}, the incumbent {old[0]:.3f} (+{rules.ece_margin:g} allowed); "
        f"Brier {new[1]:.4f}, the incumbent {old[1]:.4f} (+{rules.brier_margin:g} allowed)"
    )
    return _passed(passed), sentence


def robustness(candidate: Measurements, incumbent: Measurements, rules: GateRules) -> Outcome:
    """No attack gets much more past the candidate, or makes it hold much more ham."""
    if candidate.attacked.keys() != incumbent.attacked.keys():
        raise GateError("the two bundles were not measured under the same attacks; measure both in one run")
    pairs: dict[str, Pair] = {}
    measured = []
    for attack in candidate.attacked:
        sets = both(candidate.attacked[attack], incumbent.attacked[attack], attack)
        if sets is not None:
            pairs |= _by_label(*sets, attack)
            measured.append(sets)
    if not any(name.endswith(" spam") for name in pairs):
        return _unmeasured("no spam that could be attacked")
    alpha = rules.significance / len(pairs)
    worse = [name for name, pair in pairs.items() if pair.is_worse(rules.attack_margin, alpha)]
    # The same message comes once per attack, so that a test would count it often: a margin has to do.
    all_of = _by_label(joined([new for new, _ in measured]), joined([old for _, old in measured]), "all")
    worse += [name for name, pair in all_of.items() if pair.is_worse(rules.attacks_margin, significance=0.0)]
    return _told(pairs | all_of, worse, lambda pair: pair.excess / pair.total)


def corpora(candidate: Measurements, incumbent: Measurements, rules: GateRules) -> Outcome:
    """Nothing forgotten of the corpora that both learned from."""
    sets = both(candidate.corpora, incumbent.corpora, "corpora")
    if sets is None:
        return _unmeasured("no corpora at hand: what the incumbent knows of them may be forgotten")
    pairs = _by_slice(*sets, rules.slice_least)
    if not pairs:
        return _unmeasured(f"no corpus has {rules.slice_least} messages of a label in its test part")
    alpha = rules.significance / len(pairs)
    worse = [name for name, pair in pairs.items() if pair.is_worse(rules.corpus_margin, alpha)]
    return _told(pairs, worse, lambda pair: pair.excess / pair.total)


def poisoning(candidate: Measurements, incumbent: Measurements, rules: GateRules) -> Outcome:
    """Ham with common words of ham added has not come nearer to spam."""
    sets = both(candidate.common_words, incumbent.common_words, "probe of common words")
    if sets is None or not sets[0].is_ham.any():
        return _unmeasured("no ham that common words could be added to")
    new, old = (float(each.probabilities[each.is_ham].mean()) for each in sets)
    held, words = _no_worse("held", Pair.of(*sets, sets[0].is_ham), rules.attacks_margin, rules.significance)
    sentence = (
        f"mean probability of ham with common words {new:.3f}, the incumbent {old:.3f} "
        f"(+{rules.poison_margin:g} allowed); {words}"
    )
    return _passed(held is Passed.YES and new <= old + rules.poison_margin + ROUNDING), sentence


def newest(candidate: Measurements, incumbent: Measurements, rules: GateRules) -> Outcome:
    """Better or equal on the newest labels where the two disagree."""
    sets = both(candidate.newest, incumbent.newest, "newest labels")
    if sets is None:
        return _unmeasured("nobody has labelled messages that the candidate was not trained on")
    pair = Pair.of(*sets, np.ones(len(sets[0].ids), np.bool_))
    disagreements = pair.won + pair.lost
    if not disagreements:
        return Passed.YES, f"the two agree on all of the {pair.total} newest labels"
    sentence = (
        f"of {pair.total} newest labels the two disagree on {disagreements}: the candidate is right in {pair.won}, "
        f"the incumbent in {pair.lost} (p = {pair.p:.3f})"
    )
    return _passed(not pair.is_worse(rules.newest_margin, rules.significance)), sentence


def speed(candidate: Measurements, incumbent: Measurements, rules: GateRules) -> Outcome:
    """Not much slower on the scan path."""
    if candidate.milliseconds is None or not incumbent.milliseconds:
        return _unmeasured("no message was timed")
    ratio = candidate.milliseconds / incumbent.milliseconds
    sentence = (
        f"{candidate.milliseconds:.2f} ms a message, the incumbent {incumbent.milliseconds:.2f}: "
        f"{ratio:.2f} times as long, {rules.slowdown:g} is allowed"
    )
    return _passed(ratio <= rules.slowdown + ROUNDING), sentence


def size(candidate: Measurements, incumbent: Measurements, rules: GateRules) -> Outcome:
    """Not too large."""
    if candidate.megabytes is None:
        return _unmeasured("no size")
    allowed = max(rules.megabytes, incumbent.megabytes or 0.0)
    return _passed(candidate.megabytes <= allowed), f"{candidate.megabytes:.1f} MB, {allowed:.1f} are allowed"


def _by_label(candidate: Judged, incumbent: Judged, name: str) -> dict[str, Pair]:
    """``name label`` -> both bundles there, where there is a message."""
    pairs = {
        f"{name} ham": Pair.of(candidate, incumbent, candidate.is_ham),
        f"{name} spam": Pair.of(candidate, incumbent, candidate.is_spam),
    }
    return {name: pair for name, pair in pairs.items() if pair.total}


def _by_slice(candidate: Judged, incumbent: Judged, least: int) -> dict[str, Pair]:
    """``slice label`` -> both bundles there, where there are messages enough."""
    pairs = {
        f"{name} {label}": Pair.of(candidate, incumbent, candidate.inside(name) & where)
        for name in candidate.slice_names()
        for label, where in (("ham", candidate.is_ham), ("spam", candidate.is_spam))
    }
    return {name: pair for name, pair in pairs.items() if pair.total >= least}


def _no_worse(what: str, pair: Pair, margin: float, significance: float) -> Outcome:
    if not pair.total:
        return _unmeasured(f"nothing to count {what} of")
    return _passed(not pair.is_worse(margin, significance)), f"{pair.words(what)}, +{_percent(margin)} is allowed"


def _told(pairs: Mapping[str, Pair], worse: Sequence[str], order: Callable[[Pair], float]) -> Outcome:
    """What is worse, else what comes nearest to it."""
    shown = worse or [max(pairs, key=lambda name: order(pairs[name]))]
    figures = "; ".join(f"{name}: {pairs[name].words('wrong')}" for name in shown)
    return _passed(not worse), f"{len(worse)} of {len(pairs)} worse; {'' if worse else 'the nearest is '}{figures}"


def _passed(is_passed: bool) -> Passed:  # noqa: FBT001  (it is its one argument)
    return Passed.YES if is_passed else Passed.NO


def _unmeasured(why: str) -> Outcome:
    return Passed.NOT_MEASURED, why


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"

"""The gate: every rule passes and fails where it should, and no candidate that is worse anywhere gets through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import GateError
from trainer.gate import RULES, GateResult, compare
from trainer.gate_rules import GateRules, Passed
from trainer.judged import Judged, Measurements, joined

HAM, SPAM = 300, 200
ATTACKS = ("typos-10", "homoglyphs-100")


def judged(
    ham: int = HAM, spam: int = SPAM, *, held: int = 2, missed: int = 10, name: str = "m", first: int = 0
) -> Judged:
    """The first ``held`` ham and the first ``missed`` spam, from position ``first`` on, judged wrong."""
    is_spam = np.array([False] * ham + [True] * spam)
    wrong = np.zeros(ham + spam, np.bool_)
    wrong[first : first + held] = True
    wrong[ham + first : ham + first + missed] = True
    script = tuple("script cyrillic" if i % 5 == 0 else "script latin" for i in range(ham + spam))
    return Judged(
        ids=tuple(f"{name}{i}" for i in range(ham + spam)),
        is_spam=is_spam,
        probabilities=np.where(is_spam != wrong, 0.97, 0.02),
        is_held=is_spam != wrong,
        slices=tuple(("sms", each) for each in script),
    )


def old_mail(*, held: int = 1, missed: int = 4) -> Judged:
    """The test part of two corpora."""
    corpora = [
        judged(80, 80, held=held, missed=missed, name="spamassassin"),
        judged(80, 0, held=1, missed=0, name="tiny"),
    ]
    return joined([replace(each, slices=((each.ids[0].rstrip("0"),),) * len(each.ids)) for each in corpora])


def measured(**changes: object) -> Measurements:
    """An incumbent of the usual kind."""
    usual = Measurements(
        bundle="sms-1",
        golden=judged(),
        tripwire=judged(250, 0, held=2, name="t"),
        corpora=old_mail(),
        newest=judged(30, 30, held=1, missed=3, name="n"),
        attacked={name: judged(60, 100, held=1, missed=8, name=name) for name in ATTACKS},
        common_words=judged(100, 0, held=1, name="c"),
        milliseconds=0.5,
        megabytes=4.6,
    )
    return replace(usual, **changes)  # type: ignore[arg-type]  # the fields of a dataclass by name


def found(candidate: Measurements, incumbent: Measurements | None = None) -> GateResult:
    return compare(candidate, incumbent or measured())


def of_rule(result: GateResult, rule: str) -> tuple[Passed, str]:
    return next((each.passed, each.sentence) for each in result.findings if each.rule == rule)


def with_slice_worse(script: str, by: int) -> Judged:
    """The usual golden set with so many more ham of a script held, and as many fewer of the other."""
    usual = judged(held=0)
    held = usual.is_held.copy()
    held[np.flatnonzero(usual.inside(script) & usual.is_ham)[:by]] = True
    return replace(usual, is_held=held)


def less_honest(shift: float) -> Judged:
    """The same decisions, with probabilities nearer to the middle."""
    usual = judged()
    return replace(usual, probabilities=usual.probabilities + np.where(usual.is_held, -shift, shift))


def nearer_to_spam(shift: float) -> Judged:
    usual = judged(100, 0, held=1, name="c")
    return replace(usual, probabilities=usual.probabilities + shift)


def attacked(**changes: int) -> dict[str, Judged]:
    return dict(measured().attacked) | {ATTACKS[1]: judged(60, 100, name=ATTACKS[1], **changes)}


@pytest.mark.parametrize(
    ("rule", "candidate", "passed", "figures"),
    [
        ("golden set", measured(golden=judged(held=5)), Passed.YES, "5 of 300 ham held, the incumbent 2"),
        ("golden set", measured(golden=judged(held=6)), Passed.NO, "6 of 300 ham held"),
        ("golden set", measured(golden=judged(held=5, first=2)), Passed.YES, "p = 0.453"),
        ("golden set", measured(golden=judged(missed=14)), Passed.YES, "14 of 200 spam missed, the incumbent 10"),
        ("golden set", measured(golden=judged(missed=15)), Passed.NO, "15 of 200 spam missed"),
        ("modern ham", measured(tripwire=judged(250, 0, held=4, name="t")), Passed.YES, "4 of 250"),
        ("modern ham", measured(tripwire=judged(250, 0, held=5, name="t")), Passed.NO, "5 of 250"),
        ("ham loss", measured(golden=judged(held=5)), Passed.YES, "7 of 550 ham held, at most 2.38 %"),
        ("ham loss", measured(golden=judged(held=6)), Passed.NO, "8 of 550 ham held, at most 2.61 %"),
        ("slices", measured(golden=with_slice_worse("script cyrillic", 2)), Passed.YES, "0 of 6 worse"),
        ("slices", measured(golden=with_slice_worse("script cyrillic", 8)), Passed.NO, "script cyrillic ham"),
        ("calibration", measured(golden=less_honest(0.015)), Passed.YES, "Brier"),
        ("calibration", measured(golden=less_honest(0.1)), Passed.NO, "ECE"),
        ("robustness", measured(attacked=attacked(held=1, missed=15)), Passed.YES, "15 of 100"),
        ("robustness", measured(attacked=attacked(held=1, missed=16)), Passed.NO, "homoglyphs-100 spam: 16 of 100"),
        ("robustness", measured(attacked=attacked(held=8, missed=8)), Passed.NO, "homoglyphs-100 ham: 8 of 60"),
        ("corpora", measured(corpora=old_mail(missed=8)), Passed.YES, "8 of 80 wrong, the incumbent 4"),
        ("corpora", measured(corpora=old_mail(missed=9)), Passed.NO, "spamassassin spam: 9 of 80"),
        ("corpora", measured(corpora=old_mail(held=6)), Passed.NO, "spamassassin ham: 6 of 80"),
        ("poisoning", measured(common_words=nearer_to_spam(0.02)), Passed.YES, "common words 0.050"),
        ("poisoning", measured(common_words=nearer_to_spam(0.04)), Passed.NO, "common words 0.070"),
        ("poisoning", measured(common_words=judged(100, 0, held=7, name="c")), Passed.NO, "7 of 100 held"),
        ("newest labels", measured(newest=judged(30, 30, held=0, missed=0, name="n")), Passed.YES, "right in 4"),
        ("newest labels", measured(newest=judged(30, 30, held=1, missed=5, name="n")), Passed.NO, "the incumbent in 2"),
        ("newest labels", measured(), Passed.YES, "the two agree on all of the 60"),
        ("speed", measured(milliseconds=0.62), Passed.YES, "1.24 times as long"),
        ("speed", measured(milliseconds=0.64), Passed.NO, "1.28 times as long"),
        ("size", measured(megabytes=8.0), Passed.YES, "8.0 MB"),
        ("size", measured(megabytes=8.1), Passed.NO, "8.1 MB, 8.0 are allowed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rule_when_measured_then_it_passes_up_to_its_margin_and_says_the_figures(rule, candidate, passed, figures):
    verdict, sentence = of_rule(found(candidate), rule)

    assert (verdict, figures in sentence) == (passed, True), sentence


@pytest.mark.parametrize(
    ("rule", "gone", "is_promoted"),
    [
        ("golden set", {"golden": None}, False),
        ("golden set", {"golden": judged(0, 50)}, False),
        ("modern ham", {"tripwire": None}, False),
        ("ham loss", {"golden": None, "tripwire": None}, False),
        ("slices", {"golden": None, "tripwire": None, "newest": None}, False),
        ("calibration", {"golden": judged(50, 0, missed=0)}, False),
        ("robustness", {"attacked": {}}, False),
        ("poisoning", {"common_words": None}, False),
        ("corpora", {"corpora": None}, True),
        ("corpora", {"corpora": replace(judged(10, 10, held=0, missed=0), slices=())}, True),
        ("newest labels", {"newest": None}, True),
        ("newest labels", {"newest": judged(0, 0, held=0, missed=0)}, True),
        ("speed", {"milliseconds": None}, False),
        ("size", {"megabytes": None}, False),
    ],
)
def test_rule_when_there_is_nothing_to_measure_then_it_says_so_and_never_passes(rule, gone, is_promoted):
    both = measured(**gone)

    result = compare(both, both)

    assert of_rule(result, rule)[0] is Passed.NOT_MEASURED
    assert result.is_promoted is is_promoted
    assert rule in " ".join(result.lines())


def test_slices_when_all_are_small_then_they_are_not_measured_and_refuse_nobody():
    small = measured(golden=judged(15, 15), tripwire=judged(4, 0, held=0, name="t"), newest=None)

    result = compare(small, small)

    assert of_rule(result, "slices") == (Passed.NOT_MEASURED, "no slice has 20 messages of a label")
    assert result.is_promoted


def test_slices_when_one_message_is_lost_then_it_is_no_reason_and_two_of_few_are():
    few = judged(30, 20, held=0, missed=0)
    incumbent = measured(golden=few, tripwire=None, newest=None)

    one, two = (measured(golden=judged(30, 20, held=n, missed=0), tripwire=None, newest=None) for n in (1, 2))

    assert of_rule(found(one, incumbent), "slices")[0] is Passed.YES
    assert of_rule(found(two, incumbent), "slices")[0] is Passed.NO


def test_robustness_when_every_attack_costs_a_little_then_all_together_are_too_much():
    """Seven of a hundred under each: by itself it may be chance, not if it is so everywhere."""
    each = {name: judged(60, 100, held=1, missed=15, name=name) for name in ATTACKS}

    verdict, sentence = of_rule(found(measured(attacked=each)), "robustness")

    assert verdict is Passed.NO
    assert "1 of 6 worse; all spam: 30 of 200 wrong, the incumbent 16" in sentence


@pytest.mark.parametrize(("lost", "passed"), [(5, Passed.YES), (6, Passed.NO)])
def test_newest_when_every_disagreement_is_lost_then_six_of_six_are_no_chance(lost, passed):
    """With a set so large that the margin allows six: the test alone decides."""
    incumbent = measured(newest=judged(400, 0, held=0, name="n"))

    verdict, sentence = of_rule(found(measured(newest=judged(400, 0, held=lost, name="n")), incumbent), "newest labels")

    assert verdict is passed
    assert lost == 5 or "p = 0.031" in sentence


def test_ham_loss_when_the_incumbent_is_beyond_the_bound_then_its_equal_may_pass_but_nobody_worse():
    lossy = measured(golden=judged(held=30))

    assert compare(lossy, lossy).is_promoted
    assert of_rule(found(measured(golden=judged(held=31)), lossy), "ham loss")[0] is Passed.NO
    assert of_rule(found(measured(golden=judged(held=29)), lossy), "ham loss")[0] is Passed.YES


def test_compare_when_refused_then_every_reason_is_named_and_the_table_has_every_rule():
    result = found(measured(bundle="sms-2", golden=judged(held=40), megabytes=9.0))

    assert not result.is_promoted
    assert {reason.partition(":")[0] for reason in result.reasons} >= {"golden set", "ham loss", "size"}
    text = "\n".join(result.lines())
    assert "`sms-2` against `sms-1`: **refused**" in text
    assert all(f"| {rule} |" in text for rule in RULES)


@pytest.mark.parametrize(
    "other",
    [
        measured(golden=None),
        measured(golden=judged(name="other")),
        measured(tripwire=judged(249, 0, name="t")),
        measured(newest=replace(judged(30, 30, name="n"), is_spam=np.ones(60, np.bool_))),
        measured(attacked={ATTACKS[0]: judged(name="a")}),
    ],
    ids=["one without", "other messages", "fewer messages", "other labels", "other attacks"],
)
def test_compare_when_the_bundles_judged_other_messages_then_it_is_an_error_and_no_verdict(other):
    with pytest.raises(GateError, match="one run"):
        found(other)


def test_judged_when_lengths_differ_then_it_is_refused():
    with pytest.raises(ValueError, match="every message"):
        replace(judged(), is_held=np.zeros(3, np.bool_))


def test_joined_when_one_set_has_no_slices_then_its_messages_are_in_none():
    plain = replace(judged(3, 0, held=0), slices=())

    both = joined([plain, judged(2, 0, held=0, name="o")])

    assert both.slices[:3] == ((), (), ())
    assert both.inside("sms").tolist() == [False, False, False, True, True]


# Properties

SHARES = st.integers(0, 30)


@st.composite
def incumbents(draw) -> Measurements:
    """Any incumbent, good or bad."""
    return measured(
        golden=judged(held=draw(SHARES), missed=draw(SHARES)),
        tripwire=judged(250, 0, held=draw(SHARES), name="t"),
        corpora=draw(st.none() | st.builds(lambda h, m: old_mail(held=h, missed=m), SHARES, SHARES)),
        newest=draw(st.none() | st.builds(lambda h, m: judged(30, 30, held=h, missed=m, name="n"), SHARES, SHARES)),
        attacked={name: judged(60, 100, held=draw(SHARES), missed=draw(SHARES), name=name) for name in ATTACKS},
        common_words=judged(100, 0, held=draw(SHARES), name="c"),
        milliseconds=draw(st.floats(0.01, 10)),
        megabytes=draw(st.floats(0.1, 20)),
    )


@settings(max_examples=30)
@given(incumbents())
def test_compare_when_the_candidate_is_a_copy_of_the_incumbent_then_it_is_promoted(incumbent):
    result = compare(replace(incumbent, bundle="sms-2"), incumbent)

    assert result.reasons == ()


def worse(judged_: Judged, share: float, *, spam: bool) -> Judged:
    """So many more of a label's messages wrong that were right: no margin allows a third."""
    right = np.flatnonzero(~judged_.is_wrong & (judged_.is_spam == spam))
    count = int(np.ceil(share * (judged_.is_spam == spam).sum()))
    flipped = judged_.is_held.copy()
    flipped[right[:count]] ^= True
    return replace(judged_, is_held=flipped)


WORSENED: dict[str, Callable[[Measurements], Measurements]] = {
    "golden ham": lambda m: replace(m, golden=worse(_set(m.golden), 0.03, spam=False)),
    "golden spam": lambda m: replace(m, golden=worse(_set(m.golden), 0.04, spam=True)),
    "modern ham": lambda m: replace(m, tripwire=worse(_set(m.tripwire), 0.03, spam=False)),
    "a slice": lambda m: replace(m, golden=_slice_worse(_set(m.golden))),
    "probabilities": lambda m: replace(m, golden=_blurred(_set(m.golden))),
    "one attack": lambda m: replace(
        m, attacked={**m.attacked, ATTACKS[0]: worse(m.attacked[ATTACKS[0]], 0.2, spam=True)}
    ),
    "ham attacked": lambda m: replace(
        m, attacked={**m.attacked, ATTACKS[0]: worse(m.attacked[ATTACKS[0]], 0.2, spam=False)}
    ),
    "common words held": lambda m: replace(m, common_words=worse(_set(m.common_words), 0.1, spam=False)),
    "common words": lambda m: replace(m, common_words=_suspect(_set(m.common_words))),
    "newest labels": lambda m: (
        replace(m, newest=worse(_set(m.newest), 0.25, spam=True)) if m.newest else replace(m, megabytes=99.0)
    ),
    "a corpus": lambda m: replace(m, corpora=worse(_set(m.corpora or old_mail()), 0.2, spam=True)),
    "speed": lambda m: replace(m, milliseconds=1.3 * (m.milliseconds or 0)),
    "size": lambda m: replace(m, megabytes=max(8.0, m.megabytes or 0) + 0.1),
}


def _set(judged_: Judged | None) -> Judged:
    assert judged_ is not None
    return judged_


def _slice_worse(judged_: Judged) -> Judged:
    """A fifth more of the ham of one script held: beyond the bound's margin whatever it was before."""
    where = np.flatnonzero(judged_.inside("script cyrillic") & judged_.is_ham & ~judged_.is_held)[:20]
    held = judged_.is_held.copy()
    held[where] = True
    return replace(judged_, is_held=held)


def _blurred(judged_: Judged) -> Judged:
    return replace(judged_, probabilities=0.5 + 0.4 * (judged_.probabilities - 0.5))


def _suspect(judged_: Judged) -> Judged:
    return replace(judged_, probabilities=np.minimum(judged_.probabilities + 0.05, 1.0))


@settings(max_examples=30)
@given(incumbents(), st.sampled_from(sorted(WORSENED)))
def test_compare_when_the_candidate_is_worse_anywhere_beyond_the_margin_then_it_is_refused(incumbent, what):
    if what == "a corpus" and incumbent.corpora is None:
        incumbent = replace(incumbent, corpora=old_mail())
    result = compare(WORSENED[what](incumbent), incumbent)

    assert not result.is_promoted, what


@settings(max_examples=30)
@given(
    incumbents(), st.sampled_from(["golden", "tripwire", "newest", "common_words"]), st.integers(0, 60), st.booleans()
)
def test_compare_when_one_more_message_is_wrong_then_no_refusal_turns_into_a_promotion(incumbent, name, count, spam):
    """Monotone: more errors never help."""
    if getattr(incumbent, name) is None:
        return
    some = replace(incumbent, **{name: worse(getattr(incumbent, name), count / 300, spam=spam)})
    more = replace(some, **{name: worse(getattr(some, name), 1 / 300, spam=spam)})

    assert compare(some, incumbent).is_promoted or not compare(more, incumbent).is_promoted


def test_rules_when_margins_are_widened_then_what_failed_passes():
    candidate = measured(golden=judged(held=6, first=20))

    assert of_rule(compare(candidate, measured()), "golden set")[0] is Passed.NO
    assert of_rule(compare(candidate, measured(), GateRules(ham_margin=0.05)), "golden set")[0] is Passed.YES

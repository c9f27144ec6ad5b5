"""Scores that clients compare: where actions start, how they grow, and that they say what was decided."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.advice import ADD_HEADER_SCORE, REJECT_SCORE, Advice, action_of, marks_of, mildest
from filterd.core.envelope import MessageId
from filterd.core.headers import REQUIRED_SCORE
from filterd.core.policy import Policy, Rule, Scope, decide
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.testing import a_scan, an_envelope

BOB = "bob@example.net"
ID = MessageId("0" * 31 + "1")
RULES = st.builds(
    Rule,
    tag_at=st.sampled_from(["normal", 0.2, 0.7, None]),
    quarantine_at=st.sampled_from(["lenient", 0.2, 0.95, None]),
    reject_at=st.sampled_from([None, 0.97]),
)
PROBABILITIES = st.floats(0, 1)


def advice(probability: float, rule: Rule) -> Advice:
    envelope, policy = an_envelope(), Policy(default=Scope(rule=rule))
    decision = decide(a_scan(probability), envelope, envelope.recipients[0], policy)
    return Advice(id=ID, decision=decision, marks=marks_of(decision, BOB, policy))


@given(RULES, PROBABILITIES, PROBABILITIES)
def test_score_when_the_probability_grows_never_falls(rule: Rule, one: float, other: float) -> None:
    """Both scales are monotone, whatever thresholds the operator has set."""
    low, high = (advice(probability, rule) for probability in sorted((one, other)))

    assert low.score <= high.score
    assert low.rspamd_score <= high.rspamd_score


@given(RULES, PROBABILITIES)
def test_score_when_compared_with_its_threshold_says_what_was_decided(rule: Rule, probability: float) -> None:
    """A client that only compares numbers finds spam exactly where the policy does something."""
    told = advice(probability, rule)

    assert (told.score >= REQUIRED_SCORE) == told.is_spam
    assert (told.rspamd_score >= ADD_HEADER_SCORE) == told.is_spam
    assert (told.rspamd_score >= REJECT_SCORE) == (told.decision.action in {Action.QUARANTINE, Action.REJECT})


@pytest.mark.parametrize(
    ("probability", "score", "rspamd"),
    [(0.7, 5.0, 6.0), (0.95, 7.1, 15.0), (0.01, -0.4, 0.6)],
    ids=["tag-at", "quarantine-at", "ham"],
)
def test_score_at_the_thresholds_is_what_rules_are_written_for(probability: float, score: float, rspamd: float) -> None:
    """tag_at is SpamAssassin's 5 and rspamd's 6, quarantine_at rspamd's 15, and a point a unit of log-odds."""
    told = advice(probability, Rule(tag_at=0.7, quarantine_at=0.95))

    assert (told.score, told.rspamd_score) == (score, rspamd)


@pytest.mark.parametrize(
    ("action", "probability", "score", "rspamd"),
    [(Action.QUARANTINE, 0.01, 5.0, 15.0), (Action.TAG, 0.01, 5.0, 6.0), (Action.ACCEPT, 0.999, 4.9, 5.9)],
    ids=["denied-and-held", "denied-and-tagged", "allowed"],
)
def test_score_when_a_list_decides_is_on_the_lists_side(
    action: Action, probability: float, score: float, rspamd: float
) -> None:
    """What a list or a report decided shows in the number, too."""
    decision = Decision(action=action, reason=Reason.DENIED, scan=a_scan(probability))
    told = Advice(id=ID, decision=decision, marks=marks_of(decision, BOB, Policy()))

    assert (told.score, told.rspamd_score) == (score, rspamd)


def test_score_when_nothing_was_scored_is_at_the_threshold_where_it_is_held() -> None:
    """A message that broke a limit is spam to who asks where the operator holds such, with no made-up number."""
    decision = Decision(action=Action.QUARANTINE, reason=Reason.UNSCANNABLE)
    told = Advice(id=ID, decision=decision, marks=marks_of(decision, BOB, Policy()))

    assert (told.is_spam, told.score, told.rspamd_score) == (True, 5.0, 15.0)
    assert told.names == ("UNSCANNABLE",)


def test_marks_when_a_recipient_has_rules_are_theirs() -> None:
    """The threshold shown is the one that counts for whose mail it is."""
    own = Scope(rule=Rule(tag_at=0.3, quarantine_at=None))
    policy = Policy(overrides={BOB: own})
    decision = Decision(action=Action.TAG, reason=Reason.SPAM, scan=a_scan(0.5))

    assert marks_of(decision, BOB, policy).first == 0.3
    assert marks_of(decision, BOB, policy).last is None
    assert marks_of(decision, "eve@example.net", policy).last == 0.9


@pytest.mark.parametrize(
    ("action", "tag", "name"),
    [
        (Action.ACCEPT, "", "no action"),
        (Action.TAG, "", "add header"),
        (Action.TAG, "[SPAM]", "rewrite subject"),
        (Action.QUARANTINE, "", "quarantine"),
        (Action.REJECT, "", "reject"),
    ],
    ids=["accept", "tag", "tag-subject", "quarantine", "reject"],
)
def test_action_has_rspamds_name(action: Action, tag: str, name: str) -> None:
    """Each action is called what rspamd's clients know."""
    decision = Decision(action=action, reason=Reason.SPAM, scan=a_scan(0.9), subject_tag=tag)

    assert action_of(Advice(id=ID, decision=decision), "quarantine") == name


def test_mildest_when_recipients_differ_is_told() -> None:
    """One answer is for all: the mildest action loses nobody's ham."""
    outcome = Outcome(kind=OutcomeKind.ADVISED, reply=Reply(code=250))
    decision = Decision(action=Action.REJECT, reason=Reason.SPAM, scan=a_scan(0.99))
    verdicts = [
        Verdict.of(an_envelope(), 1, replace(decision, action=action), outcome, {})
        for action in (Action.REJECT, Action.TAG, Action.QUARANTINE)
    ]

    assert mildest(verdicts).decision.action is Action.TAG

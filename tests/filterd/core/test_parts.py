"""Parts of a message: every recipient is in one, and every recipient is answered once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from filterd.core.envelope import Recipient
from filterd.core.parts import Handled, Judged, by_outcome, in_order, with_one_reply
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reason, Reply
from filterd.testing import an_envelope

NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=6)
TAKEN = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250, lines=("saved",)))
FULL = Outcome(kind=OutcomeKind.DEFERRED, reply=Reply(code=452, lines=("full",)))
LOST = Outcome(kind=OutcomeKind.DEFERRED, reply=Reply(code=452, lines=("lost",)), ambiguous=True)


def _part(names: list[str], action: Action = Action.ACCEPT) -> Judged:
    envelope = an_envelope("a@example.org", *(f"{name}@example.net" for name in names))
    return Judged(envelope=envelope, decision=Decision(action=action, reason=Reason.HAM))


@given(names=NAMES, data=st.data())
def test_every_recipient_is_answered_once_in_the_order_of_the_envelope(names: list[str], data: st.DataObject) -> None:
    """However the recipients are spread over parts, and whoever is named twice."""
    whole = _part(names).envelope
    told = data.draw(st.lists(st.sampled_from([TAKEN, FULL]), min_size=len(names), max_size=len(names)))
    pairs = list(zip(whole.recipients, told, strict=True))
    handled = []
    for name in sorted(set(names)):
        own = [(recipient, outcome) for recipient, outcome in pairs if recipient.address[0] == name]
        part = Judged(
            envelope=whole.only(tuple(recipient for recipient, _ in own)),
            decision=Decision(action=Action.ACCEPT, reason=Reason.HAM),
        )
        handled.append(Handled(part=part, outcomes=tuple(outcome for _, outcome in own)))

    assert in_order(whole, handled) == tuple(outcome.reply for outcome in told)


@given(names=NAMES, data=st.data())
def test_part_is_split_where_outcomes_differ_and_keeps_every_recipient(names: list[str], data: st.DataObject) -> None:
    """Each recipient stands in one verdict, with what became of them."""
    part = _part(names)
    told = data.draw(st.lists(st.sampled_from([TAKEN, FULL, LOST]), min_size=len(names), max_size=len(names)))
    found = by_outcome(Handled(part=part, outcomes=tuple(told)))

    spread = [(recipient, outcome) for each, outcome in found for recipient in each.envelope.recipients]
    assert len(found) == len(set(told))
    assert sorted(spread, key=str) == sorted(zip(part.envelope.recipients, told, strict=True), key=str)


def test_words_of_a_reply_make_no_second_verdict() -> None:
    """LMTP servers name the recipient in each reply."""
    again = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250, lines=("<b> saved",)))
    handled = Handled(part=_part(["a", "b"]), outcomes=(TAKEN, again))

    assert by_outcome(handled) == [(handled.part, TAKEN)]


def test_what_only_some_would_refuse_is_held_where_one_reply_speaks_for_all() -> None:
    """One reply cannot refuse and accept; where all refuse, it can."""
    refused, passed = _part(["a"], Action.REJECT), _part(["b"])

    assert [part.decision.action for part in with_one_reply((refused, passed))] == [Action.QUARANTINE, Action.ACCEPT]
    assert with_one_reply((refused,)) == (refused,)
    assert refused.envelope.recipients == (Recipient(address="a@example.net"),)

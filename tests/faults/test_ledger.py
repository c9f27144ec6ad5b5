"""The ledger sees each kind of fault, and none where there is none: it is trusted by every fault run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.ledger import HONEST, Attempt, Delivered, Held, Nature, Record, Status, Told, audit


def sent(*told: Told, token: str = "a", nature: Nature = Nature.HAM, is_theirs: bool = False) -> list[Attempt]:
    return [Attempt(token=token, nature=nature, told=each, reply="reply", is_theirs=is_theirs) for each in told]


def took(status: Status = Status.NO, *, token: str = "a", is_intact: bool = True) -> Delivered:
    return Delivered(token=token, status=status, is_intact=is_intact)


CLEAN = {
    "nothing happened": ([], [], []),
    "delivered": (sent(Told.ACKED), [took()], []),
    "held": (sent(Told.ACKED, nature=Nature.SPAM), [], [Held(token="a")]),
    "deferred, then delivered": (sent(Told.DEFERRED, Told.ACKED), [took()], []),
    "deferred and given up": (sent(Told.DEFERRED), [], []),
    "unclear, and it had not arrived": (sent(Told.UNCLEAR, Told.ACKED), [took()], []),
    "unclear, and it had arrived": (sent(Told.UNCLEAR, Told.ACKED), [took(), took()], []),
    "unclear, and the sender is still waiting to repeat it": (sent(Told.UNCLEAR), [took()], []),
    "refused by the next hop": (sent(Told.REFUSED, is_theirs=True), [], []),
    "passed unscanned": (sent(Told.ACKED, nature=Nature.UNSCORED), [took(Status.UNSCANNED)], []),
    "spam tagged": (sent(Told.ACKED, nature=Nature.SPAM), [took(Status.YES)], []),
}
FAULTY = {
    "lost": (sent(Told.ACKED), [], [], "lost"),
    "another one's copy does not count": (sent(Told.ACKED), [took(token="b")], [], "lost"),
    "delivered twice without a reason": (sent(Told.ACKED), [took(), took()], [], "duplicates"),
    "delivered and held": (sent(Told.ACKED), [took()], [Held(token="a")], "duplicates"),
    "three copies for one unclear attempt": (sent(Told.UNCLEAR, Told.ACKED), [took()] * 3, [], "duplicates"),
    "told 4xx, but delivered": (sent(Told.DEFERRED), [took()], [], "duplicates"),
    "told 5xx, but delivered": (sent(Told.REFUSED, is_theirs=True), [took()], [], "duplicates"),
    "spam called ham": (sent(Told.ACKED, nature=Nature.SPAM), [took(Status.NO)], [], "invented"),
    "ham called spam": (sent(Told.ACKED), [took(Status.YES)], [], "invented"),
    "called ham without a scan": (sent(Told.ACKED, nature=Nature.UNSCORED), [took(Status.NO)], [], "invented"),
    "called spam without a scan": (sent(Told.ACKED, nature=Nature.UNSCORED), [took(Status.YES)], [], "invented"),
    "no header at all": (sent(Told.ACKED), [took(Status.NONE)], [], "invented"),
    "5xx of ours": (sent(Told.REFUSED), [], [], "refused"),
    "delivered with other octets": (sent(Told.ACKED), [took(is_intact=False)], [], "altered"),
    "held with other octets": (sent(Told.ACKED), [], [Held(token="a", is_intact=False)], "altered"),
    "never sent": ([], [took()], [], "unknown"),
}


@pytest.mark.parametrize("case", CLEAN.values(), ids=CLEAN.keys())
def test_audit_when_all_adds_up_finds_nothing(case: tuple[list[Attempt], list[Delivered], list[Held]]) -> None:
    found = audit(*case)

    assert found.faults() == {}
    assert found.is_clean


@pytest.mark.parametrize("case", FAULTY.values(), ids=FAULTY.keys())
def test_audit_when_something_is_wrong_says_what(
    case: tuple[list[Attempt], list[Delivered], list[Held], str],
) -> None:
    attempts, delivered, held, fault = case

    found = audit(attempts, delivered, held)

    assert fault in found.faults()
    assert not found.is_clean


RECORDED = {
    "acknowledged and relayed": (sent(Told.ACKED), ["relayed"], True),
    "acknowledged and held": (sent(Told.ACKED), ["held"], True),
    "deferred, then relayed": (sent(Told.DEFERRED, Told.ACKED), ["deferred", "relayed"], True),
    "deferred before its message came": (sent(Told.DEFERRED, Told.ACKED), ["relayed"], True),
    "unclear, and nothing was recorded": (sent(Told.UNCLEAR, Told.ACKED), ["relayed"], True),
    "unclear, and it was relayed": (sent(Told.UNCLEAR, Told.ACKED), ["relayed", "relayed"], True),
    "silence behind the dot": (sent(Told.UNCLEAR, Told.ACKED), ["deferred", "relayed"], True),
    "acknowledged and not recorded": (sent(Told.ACKED), [], False),
    "acknowledged and recorded as deferred": (sent(Told.ACKED), ["deferred"], False),
    "acknowledged once, recorded twice": (sent(Told.ACKED), ["relayed", "relayed"], False),
    "deferred and recorded as held": (sent(Told.DEFERRED), ["held"], False),
    "more records than attempts": (sent(Told.UNCLEAR), ["relayed", "relayed"], False),
}


@pytest.mark.invariant("I6")
@pytest.mark.parametrize("case", RECORDED.values(), ids=RECORDED.keys())
def test_audit_of_records_sees_those_that_are_missing_doubled_or_wrong(
    case: tuple[list[Attempt], list[str], bool],
) -> None:
    attempts, outcomes, is_sound = case
    records = [Record(token="a", id=f"{n}", outcome=outcome) for n, outcome in enumerate(outcomes)]

    assert ("unrecorded" not in audit(attempts, [], [], records).faults()) is is_sound


@pytest.mark.invariant("I6")
def test_audit_of_records_sees_one_id_twice() -> None:
    records = [Record(token="a", id="1", outcome="deferred"), Record(token="a", id="1", outcome="relayed")]

    assert "unrecorded" in audit(sent(Told.DEFERRED, Told.ACKED), [took()], [], records).faults()


def test_audit_counts_what_it_saw() -> None:
    attempts = [*sent(Told.UNCLEAR, Told.ACKED), *sent(Told.DEFERRED, token="b")]

    counts = audit(attempts, [took(), took()], []).counts

    assert counts["messages"] == 2
    assert counts["attempts"] == 3
    assert (counts["acked"], counts["unclear"], counts["deferred"], counts["refused"]) == (1, 1, 1, 0)
    assert (counts["delivered"], counts["held"], counts["second copies"]) == (2, 0, 1)


STORY = st.lists(
    st.tuples(st.sampled_from(Nature), st.lists(st.booleans(), max_size=4), st.booleans()), min_size=1, max_size=8
)


@given(STORY, st.data())
def test_audit_of_an_honest_gateway_is_clean_until_one_copy_is_taken_away(
    story: list[tuple[Nature, list[bool], bool]], data: st.DataObject
) -> None:
    """Each message: unclear attempts that left a copy or not, then one that was acknowledged and left one."""
    attempts: list[Attempt] = []
    delivered: list[Delivered] = []
    held: list[Held] = []
    for n, (nature, unclear, is_held) in enumerate(story):
        status = min(HONEST[nature])
        attempts += sent(*[Told.UNCLEAR] * len(unclear), Told.ACKED, token=f"{n}", nature=nature)
        delivered += [took(status, token=f"{n}") for has_arrived in unclear if has_arrived]
        held += [Held(token=f"{n}")] if is_held else []
        delivered += [] if is_held else [took(status, token=f"{n}")]

    assert audit(attempts, delivered, held).is_clean

    victim = data.draw(st.sampled_from(sorted({copy.token for copy in delivered} | {copy.token for copy in held})))
    delivered = [copy for copy in delivered if copy.token != victim]
    held = [copy for copy in held if copy.token != victim]

    assert audit(attempts, delivered, held).faults() == {"lost": (victim,)}

"""Which labels are taught and how much they count: nobody decides alone, and the labels that judge teach nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.bundle import BundleSpec
from filterd.core.campaigns import leaders
from filterd.core.envelope import Channel, MessageId
from filterd.core.verdict import Label
from filterd.feedback_ports import LabelledInput
from tests.filterd.core.test_bundle import SPEC
from trainer.feedback import FeedbackRules, divide, weights

START = datetime(2026, 1, 1, tzinfo=UTC)


def text(n: int) -> str:
    """A fingerprint far from every other."""
    return np.random.default_rng(n).bytes(32).hex()


def near(fingerprint: str, bits: int = 3) -> str:
    return f"{int(fingerprint, 16) ^ ((1 << bits) - 1):064x}"


def given_label(
    n: int,
    label: Label = Label.SPAM,
    *,
    message: int | None = None,
    reporter: str = "",
    sender: str = "",
    fingerprint: str | None = None,
) -> LabelledInput:
    return LabelledInput(
        id=n,
        message=MessageId(f"{message or n:032x}"),
        channel=Channel.EMAIL,
        label=label,
        reporter=reporter or f"person {n}",
        given_at=START + timedelta(hours=n),
        sender=sender or f"a@sender{n}.example",
        recipients=(),
        fingerprint=text(n) if fingerprint is None else fingerprint,
        is_for_all=False,
        model="m1",
        logit=0.5,
        hashing="0123456789ab",
        tokens=b"",
    )


def numbers(labels: tuple[LabelledInput, ...]) -> list[int]:
    return [each.id for each in labels]


def test_divide_when_labels_are_given_then_the_newest_fifth_judges_and_the_rest_teaches():
    found = divide([given_label(n) for n in range(1, 11)], SPEC)

    assert numbers(found.taught) == list(range(1, 9))
    assert numbers(found.newest) == [9, 10]
    assert found.lineage == ((1, 8),)
    assert found.weights.tolist() == [1.0] * 8


def test_divide_when_there_is_nothing_then_nothing_is_taught():
    found = divide([], SPEC)

    assert (found.taught, found.newest, found.lineage, len(found.weights)) == ((), (), (), 0)


def test_divide_when_a_campaign_goes_on_then_it_is_on_one_side_whole():
    campaign = text(99)
    labels = [given_label(n) for n in range(1, 9)]
    labels += [given_label(9, fingerprint=campaign), given_label(10, fingerprint=near(campaign))]
    old = [given_label(1, fingerprint=near(campaign, 5)), *labels[1:]]

    assert numbers(divide(labels, SPEC).newest) == [9, 10]
    assert numbers(divide(old, SPEC).newest) == []
    assert numbers(divide(old, SPEC).taught) == list(range(1, 11))


def test_divide_when_the_incumbent_was_taught_a_label_then_it_judges_nobody():
    spec = BundleSpec.from_json(SPEC.to_json().replace("{", '{"lineage": [[9, 9]],', 1))

    assert numbers(divide([given_label(n) for n in range(1, 11)], spec).newest) == [10]


def test_c1_divide_when_a_message_is_near_to_the_golden_set_then_it_is_neither_taught_nor_judges():
    labels = [given_label(n) for n in range(1, 11)]

    found = divide(labels, SPEC, [near(text(2)), near(text(10))])

    assert not {2, 10} & {*numbers(found.taught), *numbers(found.newest)}


@pytest.mark.parametrize(
    ("given_by", "settled"),
    [
        ((Label.SPAM, Label.SPAM, Label.HAM), [1]),
        ((Label.HAM, Label.SPAM, Label.SPAM), [2]),
        ((Label.HAM, Label.SPAM), []),
    ],
)
def test_divide_when_people_disagree_about_a_message_then_most_of_them_decide(given_by, settled):
    labels = [given_label(n, label, message=1) for n, label in enumerate(given_by, 1)]

    found = divide(labels, SPEC)

    assert numbers(found.taught) == settled
    agreeing = {n for n, label in enumerate(given_by, 1) if settled and label is given_by[settled[0] - 1]}
    assert {n for first, last in found.lineage for n in range(first, last + 1)} == agreeing


@pytest.mark.parametrize(
    ("what", "cap"),
    [
        ({"fingerprint": text(1)}, 5.0),
        ({"sender": "a@mail.shop.example"}, 20.0),
        ({"reporter": "ann"}, 50.0),
        ({"reporter": "ann", "sender": "a@mail.shop.example", "fingerprint": text(1)}, 5.0),
    ],
)
def test_c1_weights_when_one_source_gives_very_many_labels_then_they_count_no_more_than_its_cap(what, cap):
    labels = [given_label(n, **what) for n in range(1, 201)]

    found = weights(labels, leaders([each.fingerprint for each in labels]), FeedbackRules())

    assert found.sum() == pytest.approx(cap)


def test_weights_when_domains_are_below_one_another_then_they_share_a_cap():
    labels = [given_label(n, sender=f"a@host{n}.shop.co.uk") for n in range(1, 101)]

    found = weights(labels, np.arange(100), FeedbackRules())

    assert found.sum() == pytest.approx(20.0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=60))
def test_weights_when_sources_are_mixed_then_no_cap_is_exceeded_and_no_label_counts_more_than_one(sources):
    labels = [
        given_label(n, fingerprint=text(a), sender=f"x@d{b}.example", reporter=f"r{c}")
        for n, (a, b, c) in enumerate(sources, 1)
    ]
    rules = FeedbackRules(campaign=3, domain=5, reporter=7)

    found = weights(labels, leaders([each.fingerprint for each in labels]), rules)

    assert (found <= 1).all()
    for place, cap in ((0, 3), (1, 5), (2, 7)):
        for value in {each[place] for each in sources}:
            inside = [each[place] == value for each in sources]
            assert found[inside].sum() <= cap + 1e-9

"""Nobody can flip the filter: trust, and caps per reporter, sender domain and campaign."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.campaigns import campaigns
from filterd.core.envelope import Channel, MessageId
from filterd.core.influence import Caps, counted, trust, wavering
from filterd.core.reported import Report
from filterd.core.verdict import Label
from filterd.fuzzy.campaigns import credits_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def a_report(id: int, reporter: str, label: Label = Label.SPAM, text: int = 0, sender: str = "") -> Report:
    return Report(
        id=id,
        channel=Channel.EMAIL,
        message=MessageId(f"{id:032x}"),
        fingerprint=f"{(1 << 255) // 3 * text % (1 << 256):064x}",
        label=label,
        reporter=reporter,
        recipients=(f"{reporter}@example.org",),
        given_at=START,
        sender=sender or f"x@s{id}.example",
    )


def test_c1_reporter_whom_others_contradict_loses_trust_and_the_others_do_not() -> None:
    groups = [
        [a_report(10 * n, "mallory"), a_report(10 * n + 1, "ann", Label.HAM), a_report(10 * n + 2, "bob", Label.HAM)]
        for n in range(1, 6)
    ]

    found = trust(groups)

    assert found == {"mallory": 2 / 7}


def test_two_against_each_other_lose_alike_and_an_administrator_outweighs() -> None:
    one, other = a_report(1, "ann"), a_report(2, "bob", Label.HAM)

    assert trust([[one, other]]) == {"ann": 2 / 3, "bob": 2 / 3}
    boss = replace(a_report(3, "boss", Label.HAM), is_for_all=True)
    assert set(trust([[one, other, boss]])) == {"ann"}


def test_agreement_earns_trust_back() -> None:
    bad = [[a_report(1, "ann"), a_report(2, "bob", Label.HAM), a_report(3, "eve", Label.HAM)]]
    good = [[a_report(10 * n, "ann"), a_report(10 * n + 1, "bob")] for n in range(1, 20)]

    assert trust([*bad, *good])["ann"] == 1.0


def test_c1_reporter_counts_for_others_so_often_a_day() -> None:
    groups = [[a_report(n, "mallory", text=n)] for n in range(1, 100)]
    caps = Caps(reporter_daily=30)

    assert counted(groups, caps) == frozenset(range(1, 31))
    tomorrow = [[replace(a_report(n, "mallory"), given_at=START + timedelta(days=1))] for n in range(200, 240)]
    assert len(counted([*groups, *tomorrow], caps)) == 60


def test_c1_sender_domain_and_campaign_have_caps_and_administrators_none() -> None:
    one_sender = [[a_report(n, f"r{n}", sender="news@shop.example")] for n in range(1, 100)]
    one_campaign = [[a_report(n, f"r{n}") for n in range(1, 100)]]
    boss = [[replace(a_report(n, "boss"), is_for_all=True)] for n in range(1, 100)]

    assert len(counted(one_sender, Caps(sender_daily=60))) == 60
    assert len(counted(one_campaign, Caps(campaign=20))) == 20
    assert len(counted(boss, Caps())) == 99


def test_reports_are_grouped_by_near_copies_within_their_channel() -> None:
    near = replace(a_report(2, "bob"), fingerprint=f"{0b111:064x}")
    far = replace(a_report(3, "eve"), fingerprint="f" * 64)
    sms = replace(a_report(4, "ann"), channel=Channel.SMS)
    short = [replace(a_report(n, "ann"), fingerprint="=0123456789abcdef") for n in (5, 6)]

    found = campaigns(sorted([far, sms, near, a_report(1, "ann"), *short], key=lambda report: report.id))

    assert sorted(sorted(report.id for report in group) for group in found) == [[1, 2], [3], [4], [5, 6]]


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), max_size=60))
def test_weights_are_between_nothing_and_one_whatever_is_reported(labels: list[tuple[int, bool, int]]) -> None:
    reports = [
        a_report(n, f"r{who}", Label.SPAM if is_spam else Label.HAM, text)
        for n, (who, is_spam, text) in enumerate(labels, 1)
    ]

    found = credits_of(reports, Caps(reporter_daily=3))

    assert set(found) == {report.id for report in reports}
    assert all(0 <= credit.weight <= 1 for credit in found.values())


def test_c1_lies_that_come_first_leave_room_for_those_who_contradict_them() -> None:
    """Each label has caps of its own, on a campaign as on a sender's mail."""
    lies = [a_report(n, f"liar{n}", sender="news@shop.example") for n in range(1, 41)]
    honest = [a_report(n, f"user{n}", Label.HAM, sender="news@shop.example") for n in range(41, 61)]

    of_campaign = counted([[*lies, *honest]], Caps(campaign=20))
    of_sender = counted([[report] for report in (*lies, *honest)], Caps(sender_daily=30))

    assert of_campaign == frozenset([*range(1, 21), *range(41, 61)])
    assert of_sender == frozenset([*range(1, 31), *range(41, 61)])


def test_c1_liars_who_agree_are_contradicted_by_half_as_many() -> None:
    lies = [a_report(n, f"liar{n}") for n in range(1, 5)]
    honest = [a_report(n, f"user{n}", Label.HAM) for n in range(5, 8)]

    assert set(trust([[*lies, *honest]])) == {report.reporter for report in lies}


def said(reporter: str, campaign: int, labels: str) -> list[Report]:
    """A label on each of so many near copies."""
    of = {"s": Label.SPAM, "h": Label.HAM}
    return [a_report(10 * campaign + n, reporter, of[label], campaign) for n, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("campaigns", "is_wavering"),
    [
        (["ss"] * 20, False),
        (["sh"], False),
        (["sh", "hs"], True),
        (["sh", "hs"] + ["ss"] * 18, False),
        (["sh", "hs"] + ["ss"] * 17, True),
        (["s", "h"] * 10, False),
    ],
    ids=["never", "once", "twice of two", "a tenth", "more than a tenth", "nothing twice"],
)
def test_reporter_wavers_who_often_says_both_of_near_copies(campaigns: list[str], *, is_wavering: bool) -> None:
    groups = [said("ann", number, labels) for number, labels in enumerate(campaigns, 1)]

    assert wavering(groups) == (frozenset({"ann"}) if is_wavering else frozenset())


def test_reporter_who_changes_a_label_or_contradicts_others_does_not_waver() -> None:
    """A later label on the same message replaces the earlier one."""
    changed = [
        [replace(report, message=MessageId(f"{number:032x}")) for report in said("ann", number, "sh")]
        for number in range(1, 9)
    ]
    others = [[*said("ann", n, "ss"), *said("bob", n, "hh")] for n in range(11, 19)]

    assert wavering([*changed, *others]) == frozenset()

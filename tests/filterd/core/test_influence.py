"""Nobody can flip the filter: trust, and caps per reporter, sender domain and campaign."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from filterd.core.campaigns import campaigns
from filterd.core.envelope import Channel, MessageId
from filterd.core.influence import Caps, counted, trust
from filterd.core.reported import Report
from filterd.core.verdict import Label
from filterd.fuzzy.campaigns import weights

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

    found = weights(reports, Caps(reporter_daily=3))

    assert set(found) == {report.id for report in reports}
    assert all(0 <= weight <= 1 for weight in found.values())

"""For whom reports on near-duplicates count, and what they change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from filterd.core.envelope import Channel, MessageId, Recipient
from filterd.core.policy import Policy, Rule, Scope, SenderList, decide
from filterd.core.reported import Agreement, Report, Reported, ReportScope, certainty, resolve
from filterd.core.verdict import Action, Label, Reason, ScanFailure
from filterd.testing import a_scan, an_envelope

AGREEMENT = Agreement(domain=2, all=3)
TEXT = "0" * 64


def a_report(
    id: int,
    label: Label = Label.SPAM,
    *recipients: str,
    reporter: str = "",
    fingerprint: str = TEXT,
    is_for_all: bool = False,
    weight: float = 1.0,
    message: int = 0,
    is_wavering: bool = False,
) -> Report:
    return Report(
        id=id,
        channel=Channel.EMAIL,
        message=MessageId(f"{message or id:032x}"),
        fingerprint=fingerprint,
        label=label,
        reporter=reporter or f"reporter{id}",
        recipients=recipients or (f"user{id}@other.example",),
        given_at=datetime(2026, 1, 1, tzinfo=UTC),
        is_for_all=is_for_all,
        weight=weight,
        is_wavering=is_wavering,
    )


def test_report_counts_for_its_recipient_alone_until_others_agree() -> None:
    reports = [a_report(1, Label.SPAM, "bob@corp.example")]

    found = resolve(reports, "Bob@Corp.example", AGREEMENT)

    assert found == Reported(label=Label.SPAM, scope=ReportScope.RECIPIENT, reports=(1,))
    assert resolve(reports, "eve@corp.example", AGREEMENT) is None
    assert resolve(reports, "eve@else.example", AGREEMENT) is None


def test_two_reporters_of_a_domain_speak_for_the_domain() -> None:
    reports = [a_report(1, Label.SPAM, "bob@corp.example"), a_report(2, Label.SPAM, "ann@corp.example")]

    found = resolve(reports, "eve@corp.example", AGREEMENT)

    assert found == Reported(label=Label.SPAM, scope=ReportScope.DOMAIN, reports=(1, 2))
    assert resolve(reports, "eve@else.example", AGREEMENT) is None


def test_three_reporters_speak_for_all_and_one_who_disagrees_takes_one_back() -> None:
    reports = [a_report(id) for id in (1, 2, 3)]

    assert resolve(reports, "eve@corp.example", AGREEMENT) == Reported(
        label=Label.SPAM, scope=ReportScope.ALL, reports=(1, 2, 3)
    )
    assert resolve([*reports, a_report(4, Label.HAM)], "eve@corp.example", AGREEMENT) is None


def test_c1_one_reporter_who_reports_many_copies_counts_once() -> None:
    reports = [a_report(id, reporter="mallory") for id in range(1, 9)]

    assert resolve(reports, "eve@corp.example", AGREEMENT) is None


def test_c1_little_trust_is_little_weight() -> None:
    reports = [a_report(id, weight=0.3) for id in range(1, 10)]

    assert resolve(reports, "eve@corp.example", AGREEMENT) is None
    assert resolve([*reports, a_report(10, weight=0.3)], "eve@corp.example", AGREEMENT) is not None


def test_c1_more_must_agree_where_the_model_is_sure_of_the_opposite() -> None:
    few, many = [a_report(id) for id in range(1, 6)], [a_report(id) for id in range(1, 31)]

    assert resolve(few, "eve@corp.example", AGREEMENT, Label.SPAM) is not None
    assert resolve(few, "eve@corp.example", AGREEMENT, Label.HAM) is None
    assert resolve(many, "eve@corp.example", AGREEMENT, Label.HAM) is not None
    own = [*few, a_report(40, Label.SPAM, "eve@corp.example")]
    assert resolve(own, "eve@corp.example", AGREEMENT, Label.HAM) is not None


@pytest.mark.parametrize(
    ("probability", "sure"), [(0.29, Label.HAM), (0.3, None), (0.89, None), (0.9, Label.SPAM), (1.0, Label.SPAM)]
)
def test_model_is_sure_beyond_its_outermost_operating_points(probability: float, sure: Label | None) -> None:
    assert certainty(probability, a_scan().points) is sure
    assert certainty(probability, {}) is None


def test_c1_own_label_is_never_overruled() -> None:
    others = [a_report(id, Label.SPAM, f"u{id}@corp.example") for id in (1, 2, 3, 4)]
    boss = a_report(5, Label.SPAM, "boss@corp.example", is_for_all=True)
    own = a_report(6, Label.HAM, "bob@corp.example")

    found = resolve([*others, boss, own], "bob@corp.example", AGREEMENT)

    assert found is not None
    assert (found.label, found.scope) == (Label.HAM, ReportScope.RECIPIENT)


S, H = Label.SPAM, Label.HAM


@pytest.mark.parametrize(
    ("labels", "label", "reports"),
    [
        ([S], S, (1,)),
        ([H], H, (1,)),
        ([S, H], H, (2,)),
        ([H, S], S, (2,)),
        ([S, H, S], S, (1, 3)),
        ([S, S, H], S, (1, 2)),
        ([H, S, S], S, (2, 3)),
        ([S, S, S, H], S, (2, 3)),
        ([S, S, S, H, H], H, (4, 5)),
    ],
    ids=lambda value: "".join(value) if isinstance(value, list) else None,
)
def test_own_labels_when_there_are_several_the_majority_of_the_last_three_decides(
    labels: list[Label], label: Label, reports: tuple[int, ...]
) -> None:
    """A lone label acts at once, of two the latest, and a slip is outvoted."""
    own = [a_report(id, said, "bob@corp.example", reporter="bob") for id, said in enumerate(labels, 1)]

    found = resolve(own[::-1], "bob@corp.example", AGREEMENT)

    assert found == Reported(label=label, scope=ReportScope.RECIPIENT, reports=reports)


def test_own_label_that_takes_another_on_the_same_message_back_replaces_it() -> None:
    own = [
        a_report(1, S, "bob@corp.example", reporter="bob", message=7),
        a_report(2, S, "bob@corp.example", reporter="bob", message=8),
        a_report(3, H, "bob@corp.example", reporter="bob", message=8),
    ]
    of_two = [*own[:2], a_report(3, H, "bob@corp.example", reporter="ann", message=8)]

    found, outvoted = (resolve(labels, "bob@corp.example", AGREEMENT) for labels in (own, of_two))

    assert found == Reported(label=H, scope=ReportScope.RECIPIENT, reports=(3,))
    assert outvoted == Reported(label=S, scope=ReportScope.RECIPIENT, reports=(1, 2))


@pytest.mark.parametrize(
    ("labels", "sure", "label"),
    [
        ([S], None, S),
        ([S], S, S),
        ([S], H, None),
        ([H], S, None),
        ([H, S], H, None),
        ([S, H], S, None),
        ([S, S], H, S),
        ([H, S, S], H, S),
    ],
    ids=["doubt", "agreed", "spam", "ham", "spam after ham", "ham after spam", "twice", "two of three"],
)
def test_own_label_of_a_waverer_is_heard_the_second_time_against_a_model_that_is_sure(
    labels: list[Label], sure: Label | None, label: Label | None
) -> None:
    bob = "bob@corp.example"
    own = [a_report(id, said, bob, reporter="bob", is_wavering=True) for id, said in enumerate(labels, 1)]

    found = resolve(own, bob, AGREEMENT, sure)

    assert (found.label if found is not None else None) is label


def test_c1_ham_counts_for_others_where_a_third_say_so() -> None:
    """To hold a wanted message is worse than to let spam in."""
    lies = [a_report(id, weight=1.0) for id in range(1, 7)]
    two, three = ([a_report(id, Label.HAM) for id in range(10, 10 + count)] for count in (2, 3))

    assert [found.label for found in (resolve(lies, "eve@corp.example", AGREEMENT),) if found] == [Label.SPAM]
    assert resolve([*lies[:5], *two], "eve@corp.example", AGREEMENT) == Reported(
        label=Label.SPAM, scope=ReportScope.ALL, reports=(1, 2, 3, 4, 5)
    )
    found = resolve([*lies, *three], "eve@corp.example", AGREEMENT)
    assert found == Reported(label=Label.HAM, scope=ReportScope.ALL, reports=(10, 11, 12))
    assert resolve([*lies, *three], "eve@corp.example", AGREEMENT, Label.SPAM) is None


def test_administrator_speaks_for_all_at_once_and_the_latest_word_counts() -> None:
    said = a_report(1, Label.SPAM, is_for_all=True)
    changed = a_report(2, Label.HAM, is_for_all=True)

    assert resolve([said], "eve@corp.example", AGREEMENT) == Reported(
        label=Label.SPAM, scope=ReportScope.ALL, reports=(1,)
    )
    found = resolve([said, changed], "eve@corp.example", AGREEMENT)
    assert found is not None
    assert found.label is Label.HAM


def test_short_text_counts_for_its_recipient_only() -> None:
    short = a_report(1, Label.SPAM, "bob@corp.example", fingerprint="=0123456789abcdef", is_for_all=True)

    assert resolve([short], "bob@corp.example", AGREEMENT) is not None
    assert resolve([short], "eve@corp.example", AGREEMENT) is None


def test_phone_numbers_have_no_domain_in_common() -> None:
    reports = [a_report(1, Label.SPAM, "15550001"), a_report(2, Label.SPAM, "15550002")]

    assert resolve(reports, "+15550001", AGREEMENT) is not None
    assert resolve(reports, "+15550003", AGREEMENT) is None


SPAM = Reported(label=Label.SPAM, scope=ReportScope.RECIPIENT, reports=(7,))
HAM = Reported(label=Label.HAM, scope=ReportScope.DOMAIN, reports=(3, 9))


@pytest.mark.parametrize(
    ("rule", "probability", "reported", "action", "reason"),
    [
        (Rule(), 0.01, SPAM, Action.QUARANTINE, Reason.REPORTED),
        (Rule(), 0.7, SPAM, Action.QUARANTINE, Reason.REPORTED),
        (Rule(), 0.99, SPAM, Action.QUARANTINE, Reason.SPAM),
        (Rule(reject_at=0.95), 0.99, SPAM, Action.REJECT, Reason.SPAM),
        (Rule(reject_at=0.95), 0.01, SPAM, Action.QUARANTINE, Reason.REPORTED),
        (Rule(quarantine_at=None), 0.01, SPAM, Action.TAG, Reason.REPORTED),
        (Rule(quarantine_at=None), 0.7, SPAM, Action.TAG, Reason.SPAM),
        (Rule(quarantine_at=None, tag_at=None), 0.01, SPAM, Action.ACCEPT, Reason.HAM),
        (Rule(), 0.99, HAM, Action.ACCEPT, Reason.REPORTED),
        (Rule(), 0.7, HAM, Action.ACCEPT, Reason.REPORTED),
        (Rule(), 0.01, HAM, Action.ACCEPT, Reason.HAM),
    ],
)
def test_reports_change_only_what_the_thresholds_say_otherwise(
    rule: Rule, probability: float, reported: Reported, action: Action, reason: Reason
) -> None:
    policy = Policy(default=Scope(rule=rule))
    decision = decide(a_scan(probability), an_envelope(), Recipient(address="bob@example.net"), policy, reported)

    assert (decision.action, decision.reason) == (action, reason)
    assert decision.reports == (reported.reports if reason is Reason.REPORTED else ())
    if reason is Reason.REPORTED:
        assert decision.detail == f"{reported.label} to {reported.scope}, report {reported.reports[-1]}"


@pytest.mark.parametrize("reported", [SPAM, HAM])
def test_lists_and_switched_off_filters_come_before_reports(reported: Reported) -> None:
    bob, scan, envelope = Recipient(address="bob@example.net"), a_scan(0.7), an_envelope("alice@example.org")
    allowing = Policy(default=Scope(rule=Rule(), allow=SenderList.of(("example.org",))))
    denying = Policy(default=Scope(rule=Rule(), deny=SenderList.of(("example.org",))))
    off = Policy(default=Scope(rule=Rule(is_enabled=False)))

    reasons = [decide(scan, envelope, bob, policy, reported).reason for policy in (allowing, denying, off)]

    assert reasons == [Reason.ALLOWED, Reason.DENIED, Reason.ALLOWED]
    assert decide(ScanFailure.UNSCANNABLE, envelope, bob, Policy(), reported).reason is Reason.UNSCANNABLE

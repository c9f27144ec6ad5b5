"""Policy: precedence of lists, thresholds by name, what a failed scan means."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filterd.core.envelope import Recipient
from filterd.core.policy import Policy, Rule, Scope, SenderList, decide
from filterd.core.verdict import Action, Reason, ScanFailure
from filterd.testing import a_scan, an_envelope

BOB = Recipient(address="bob@example.net")


def a_policy(**changes: object) -> Policy:
    return replace(Policy(), **changes)  # type: ignore[arg-type]  # tests name the fields


def a_scope(*, allow: tuple[str, ...] = (), deny: tuple[str, ...] = (), **rule: object) -> Scope:
    return Scope(
        rule=Rule(**rule),  # type: ignore[arg-type]  # tests name the fields
        allow=SenderList.of(allow),
        deny=SenderList.of(deny),
    )


@pytest.mark.parametrize(
    ("probability", "action"),
    [
        (0.0, Action.ACCEPT),
        (0.599, Action.ACCEPT),
        (0.6, Action.TAG),
        (0.9, Action.QUARANTINE),
        (1.0, Action.QUARANTINE),
    ],
)
def test_threshold_when_named_comes_from_the_model(probability: float, action: Action) -> None:
    decision = decide(a_scan(probability), an_envelope(), BOB, Policy())

    assert decision.action is action
    assert decision.reason is (Reason.HAM if action is Action.ACCEPT else Reason.SPAM)


def test_threshold_when_the_model_does_not_know_the_name_never_acts() -> None:
    policy = a_policy(default=a_scope(tag_at="brutal", quarantine_at=None))

    assert decide(a_scan(1.0), an_envelope(), BOB, policy).action is Action.ACCEPT


def test_threshold_when_all_are_off_accepts_without_one() -> None:
    policy = a_policy(default=a_scope(tag_at=None, quarantine_at=None))

    decision = decide(a_scan(1.0), an_envelope(), BOB, policy)

    assert (decision.action, decision.threshold) == (Action.ACCEPT, None)


def test_threshold_when_a_number_is_used_as_it_is() -> None:
    policy = a_policy(default=a_scope(reject_at=0.95))

    decision = decide(a_scan(0.95), an_envelope(), BOB, policy)

    assert (decision.action, decision.threshold, decision.detail) == (Action.REJECT, 0.95, "")


def test_reject_after_the_queue_becomes_quarantine() -> None:
    policy = a_policy(default=a_scope(reject_at=0.95), can_reject=False)

    assert decide(a_scan(0.99), an_envelope(), BOB, policy).action is Action.QUARANTINE


def test_subject_tag_when_tagged_is_named_and_only_then() -> None:
    policy = a_policy(default=a_scope(subject_tag="[SPAM]"))

    assert decide(a_scan(0.7), an_envelope(), BOB, policy).subject_tag == "[SPAM]"
    assert decide(a_scan(0.95), an_envelope(), BOB, policy).subject_tag == ""


@pytest.mark.parametrize(
    ("allow", "deny", "reason", "entry"),
    [
        (("alice@example.org",), (), Reason.ALLOWED, "alice@example.org"),
        (("ALICE@Example.ORG",), (), Reason.ALLOWED, "alice@example.org"),
        (("@example.org",), (), Reason.ALLOWED, "example.org"),
        (("org",), (), Reason.ALLOWED, "org"),
        (("192.0.2.0/24",), (), Reason.ALLOWED, "192.0.2.0/24"),
        ((), ("192.0.2.1",), Reason.DENIED, "192.0.2.1/32"),
        ((), ("example.org",), Reason.DENIED, "example.org"),
        (("example.org",), ("alice@example.org",), Reason.DENIED, "alice@example.org"),
        (("alice@example.org",), ("example.org",), Reason.ALLOWED, "alice@example.org"),
        (("example.org",), ("example.org",), Reason.ALLOWED, "example.org"),
        (("192.0.2.0/24",), ("192.0.2.1",), Reason.DENIED, "192.0.2.1/32"),
        (("192.0.2.1",), ("example.org",), Reason.DENIED, "example.org"),
    ],
)
def test_list_entry_when_several_match_the_narrowest_decides_and_is_named(
    allow: tuple[str, ...], deny: tuple[str, ...], reason: Reason, entry: str
) -> None:
    policy = a_policy(default=a_scope(allow=allow, deny=deny))

    decision = decide(a_scan(0.5), an_envelope(), BOB, policy)

    assert (decision.reason, decision.detail) == (reason, entry)


@pytest.mark.parametrize("entry", ["xexample.org", "le.org", "bob@example.org", "198.51.100.0/24", "2001:db8::/32"])
def test_list_entry_when_it_names_someone_else_does_not_match(entry: str) -> None:
    policy = a_policy(default=a_scope(deny=(entry,)))

    assert decide(a_scan(0.0), an_envelope(), BOB, policy).reason is Reason.HAM


def test_list_entry_when_it_names_the_visible_author_matches() -> None:
    policy = a_policy(default=a_scope(deny=("mallory@evil.example",)))

    decision = decide(a_scan(0.0, author="mallory@evil.example"), an_envelope(), BOB, policy)

    assert decision.reason is Reason.DENIED


def test_list_entry_when_it_is_a_phone_number_matches_the_originator() -> None:
    policy = a_policy(default=a_scope(allow=("+15551234567",)))

    assert decide(a_scan(1.0), an_envelope("+15551234567", "+1999"), BOB, policy).reason is Reason.ALLOWED


def test_list_entry_when_the_peer_is_mapped_ipv4_matches_the_ipv4_network() -> None:
    policy = a_policy(default=a_scope(deny=("192.0.2.0/24",)))

    assert decide(a_scan(0.0), an_envelope(peer="::ffff:192.0.2.9"), BOB, policy).reason is Reason.DENIED


@pytest.mark.parametrize("peer", ["", "twilio"])
def test_list_entry_when_the_peer_has_no_address_does_not_match(peer: str) -> None:
    policy = a_policy(default=a_scope(deny=("0.0.0.0/0",)))

    assert decide(a_scan(0.0), an_envelope(peer=peer), BOB, policy).reason is Reason.HAM


def test_null_sender_when_lists_are_set_matches_nothing() -> None:
    policy = a_policy(default=a_scope(deny=("example.org",)))

    assert decide(a_scan(0.0), an_envelope(""), BOB, policy).reason is Reason.HAM


def test_list_entry_when_the_scan_failed_still_decides() -> None:
    policy = a_policy(default=a_scope(allow=("alice@example.org",)))

    assert decide(ScanFailure.UNSCANNABLE, an_envelope(), BOB, policy).reason is Reason.ALLOWED


def test_recipient_scope_when_it_denies_beats_a_global_allow() -> None:
    policy = a_policy(
        default=a_scope(allow=("alice@example.org",)),
        overrides=MappingProxyType({"bob@example.net": a_scope(deny=("example.org",))}),
    )

    assert decide(a_scan(0.0), an_envelope(), BOB, policy).reason is Reason.DENIED
    other = Recipient(address="carol@example.net")
    assert decide(a_scan(0.0), an_envelope(), other, policy).reason is Reason.ALLOWED


def test_override_when_address_and_domain_match_the_address_rules() -> None:
    policy = a_policy(
        overrides=MappingProxyType(
            {"example.net": a_scope(tag_at=0.2), "bob@example.net": a_scope(tag_at=0.4, quarantine_at=None)}
        )
    )

    assert decide(a_scan(0.3), an_envelope(), BOB, policy).action is Action.ACCEPT
    assert decide(a_scan(0.3), an_envelope(), Recipient(address="X@EXAMPLE.net"), policy).action is Action.TAG
    assert decide(a_scan(0.3), an_envelope(), Recipient(address="x@sub.example.net"), policy).action is Action.TAG


def test_filtering_off_when_no_entry_names_the_sender_accepts() -> None:
    policy = a_policy(default=a_scope(is_enabled=False, deny=("evil.example",)))

    assert decide(a_scan(1.0), an_envelope(), BOB, policy).action is Action.ACCEPT
    assert decide(a_scan(0.0), an_envelope("x@evil.example"), BOB, policy).reason is Reason.DENIED


@pytest.mark.parametrize("action", [Action.QUARANTINE, Action.TAG, Action.DEFER, Action.REJECT])
def test_unscannable_when_policy_names_an_action_takes_it(action: Action) -> None:
    policy = a_policy(default=a_scope(unscannable=action))

    decision = decide(ScanFailure.UNSCANNABLE, an_envelope(), BOB, policy)

    assert (decision.action, decision.reason) == (action, Reason.UNSCANNABLE)


def test_scan_down_when_it_happens_follows_its_own_switch() -> None:
    decision = decide(ScanFailure.SCAN_DOWN, an_envelope(), BOB, a_policy(scan_down=Action.ACCEPT))

    assert (decision.action, decision.reason, decision.scan) == (Action.ACCEPT, Reason.SCAN_DOWN, None)


@pytest.mark.parametrize("entry", ["", "  ", "@", "two words", "."])
def test_sender_list_when_an_entry_is_nothing_raises(entry: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        SenderList.of((entry,))


_SEVERITY = [Action.ACCEPT, Action.TAG, Action.QUARANTINE, Action.REJECT]


@given(
    low=st.floats(0, 1),
    high=st.floats(0, 1),
    tag=st.none() | st.floats(0, 1) | st.sampled_from(["lenient", "normal", "strict"]),
    quarantine=st.none() | st.floats(0, 1) | st.sampled_from(["lenient", "normal", "strict"]),
    reject=st.none() | st.floats(0, 1),
)
def test_decision_when_the_probability_rises_is_never_milder(
    low: float, high: float, tag: str | float | None, quarantine: str | float | None, reject: float | None
) -> None:
    low, high = sorted((low, high))
    policy = a_policy(default=a_scope(tag_at=tag, quarantine_at=quarantine, reject_at=reject))

    mild = decide(a_scan(low), an_envelope(), BOB, policy).action
    severe = decide(a_scan(high), an_envelope(), BOB, policy).action

    assert _SEVERITY.index(mild) <= _SEVERITY.index(severe)


@pytest.mark.parametrize(
    ("signals", "author", "expected"),
    [
        ((), "alice@example.org", Reason.SPAM),
        (("dkim_pass", "spf_pass"), "alice@example.org", Reason.SPAM),
        (("arc_dmarc_pass", "arc_pass"), "alice@example.org", Reason.SPAM),
        (("dmarc_pass",), "alice@example.org", Reason.ALLOWED),
        (("dkim_aligned", "dkim_pass"), "alice@mail.example.org", Reason.ALLOWED),
        (("dmarc_pass",), "eve@example.com", Reason.SPAM),
        (("dmarc_pass",), "", Reason.SPAM),
    ],
    ids=["none", "not-aligned", "arc-only", "dmarc", "dkim", "other-author", "no-author"],
)
def test_b14_allow_entry_when_it_needs_proof_counts_only_with_it(
    signals: tuple[str, ...], author: str, expected: Reason
) -> None:
    """A sender, and an author for whom nobody vouches, can be forged; an author's own domain says who he is."""
    policy = a_policy(default=a_scope(allow=("example.org",)), allow_needs_auth=True)
    scan = replace(a_scan(0.99, author), signals=signals)

    assert decide(scan, an_envelope("alice@example.org"), BOB, policy).reason is expected


def test_allow_entry_when_it_needs_proof_and_is_a_network_needs_none() -> None:
    """An address on the network is no claim of the sender's."""
    policy = a_policy(default=a_scope(allow=("192.0.2.0/24",)), allow_needs_auth=True)

    assert decide(a_scan(0.99), an_envelope(peer="192.0.2.1"), BOB, policy).reason is Reason.ALLOWED


def test_deny_entry_when_allow_needs_proof_still_needs_none() -> None:
    """What a forger claims may well be held against him."""
    policy = a_policy(default=a_scope(allow=("example.org",), deny=("example.org",)), allow_needs_auth=True)

    assert decide(a_scan(), an_envelope("alice@example.org"), BOB, policy).reason is Reason.DENIED


@pytest.mark.parametrize("failure", list(ScanFailure), ids=str)
def test_allow_entry_when_it_needs_proof_and_nothing_was_read_does_not_count(failure: ScanFailure) -> None:
    """What was not scanned proves nothing."""
    policy = a_policy(default=a_scope(allow=("example.org",)), allow_needs_auth=True)

    assert decide(failure, an_envelope("alice@example.org"), BOB, policy).reason is not Reason.ALLOWED

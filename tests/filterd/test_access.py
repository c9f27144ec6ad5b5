"""Whose messages a person reaches, by role."""

from __future__ import annotations

import pytest

from filterd.core.access import EVERYBODY, Person, Reach, Role

OWN = frozenset({"ann@example.org", "15551230001"})


@pytest.mark.parametrize(
    ("role", "recipient", "is_covered"),
    [
        (Role.USER, "ann@example.org", True),
        (Role.USER, "Ann@EXAMPLE.org", True),
        (Role.USER, "+15551230001", True),
        (Role.USER, "bob@example.org", False),
        (Role.MODERATOR, "bob@example.net", True),
        (Role.MODERATOR, "bob@sub.example.net", False),
        (Role.MODERATOR, "ann@example.org", True),
        (Role.MODERATOR, "bob@example.org", False),
        (Role.ADMINISTRATOR, "bob@example.org", True),
        (Role.AUDITOR, "bob@example.org", True),
    ],
)
def test_reach_covers_own_addresses_moderated_domains_or_all(role: Role, recipient: str, *, is_covered: bool) -> None:
    person = Person(name="ann", role=role, addresses=OWN, domains=frozenset({"example.net"}))

    assert person.reach.covers(recipient) is is_covered


def test_reach_of_a_user_ignores_domains_left_over_from_another_role() -> None:
    person = Person(name="ann", role=Role.USER, domains=frozenset({"example.net"}))

    assert not person.reach.covers("bob@example.net")


def test_reach_names_its_part_of_the_recipients_in_order() -> None:
    reach = Reach(addresses=OWN)

    assert reach.part_of(["x@example.org", "+15551230001", "ann@example.org"]) == ("+15551230001", "ann@example.org")
    assert EVERYBODY.part_of(["x@example.org"]) == ("x@example.org",)
    assert Reach().part_of(["x@example.org"]) == ()


def test_a_number_without_a_domain_is_no_ones_domain() -> None:
    assert not Reach(domains=frozenset({"", "+15551230001"})).covers("+15551230001")


@pytest.mark.parametrize("role", list(Role))
def test_only_auditors_neither_read_bodies_nor_act(role: Role) -> None:
    person = Person(name="ann", role=role)

    assert person.may_act is person.may_read is (role is not Role.AUDITOR)
    assert person.is_administrator is (role is Role.ADMINISTRATOR)

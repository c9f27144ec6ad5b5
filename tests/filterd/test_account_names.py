"""What people type when they make accounts, as it is kept."""

from __future__ import annotations

import pytest

from filterd.account_names import addresses_of, domains_of, login_of, token_name_of
from filterd.errors import UsageError


def test_names_are_kept_in_one_spelling() -> None:
    assert login_of("  Ann@Example.ORG ") == "ann@example.org"
    assert addresses_of(["Ann@Example.org", "+4915550001", "", "ann@example.org"]) == ("ann@example.org", "4915550001")
    assert domains_of(["@Example.org.", "bücher.example", "example.org"]) == ("example.org", "bücher.example")
    assert token_name_of(" mail robot ") == "mail robot"


@pytest.mark.parametrize("text", ["", " ", "a b", "a\nb", "x" * 255, "\u202ea"])
def test_login_that_nobody_could_type_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        login_of(text)


@pytest.mark.parametrize("text", ["ann", "@example.org", "ann@", "a b@example.org", "12", "x" * 255 + "@example.org"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        addresses_of([text])


@pytest.mark.parametrize("text", ["a b", "ann@example.org", ".", "a..b", "example.org/x", "x" * 64])
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        domains_of([text])


def test_too_many_are_refused() -> None:
    with pytest.raises(UsageError):
        addresses_of(f"a{n}@example.org" for n in range(201))


@pytest.mark.parametrize("text", ["", "cli", "cli:root", "x" * 65, "a\tb"])
def test_token_name_that_could_be_taken_for_another_reporter_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        token_name_of(text)

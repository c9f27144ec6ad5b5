"""Accounts and API tokens on the pages: for administrators, and for nobody else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from filterd.account_ports import Account, Scope
from filterd.core.access import Role
from filterd.core.secret_digest import digest
from tests.filterd.web_visitor import House, Visitor, a_house, routes_of

BOB = "bob@example.org"
ROOT = "root@example.org"
NEW = {"name": BOB, "role": "user", "addresses": "", "domains": ""}
_SECRET = re.compile(r"<code>([A-Za-z0-9_-]{20,})</code>")


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = a_house()
    yield made
    await made.close()


@pytest.fixture
async def root(house: House) -> Visitor:
    return await house.person(Role.ADMINISTRATOR, ROOT)


async def account(house: House, name: str = BOB) -> Account:
    found = await house.store.accounts.find_account(name)
    assert found is not None
    return found


def secret_in(page: str) -> str:
    """The one that is shown once."""
    (secret,) = _SECRET.findall(page)
    return str(secret)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMINISTRATOR])
async def test_who_is_no_administrator_sees_and_changes_nothing(house: House, root: Visitor, role: Role) -> None:
    await root.post("/accounts", NEW)
    before = list(await house.store.accounts.list_accounts())
    somebody = await house.person(role)
    fields = {**NEW, "name": BOB, "is_disabled": "1", "role": "administrator", "scope": "admin"}
    for route in routes_of(house.app):
        if not route.path.startswith("/accounts"):
            continue
        for method in route.methods - {"HEAD"}:
            answer = await (somebody.post(route.path, fields) if method == "POST" else somebody.get(route.path))
            assert answer.status_code == 403, (method, route.path)
            assert BOB not in answer.text

    assert [a for a in await house.store.accounts.list_accounts() if a.name != f"{role.value}@example.org"] == before
    assert not await house.store.list_tokens()


async def test_added_account_signs_in_with_the_password_that_was_shown_once(house: House, root: Visitor) -> None:
    answer = await root.post("/accounts", {**NEW, "role": "moderator", "domains": "Example.org\n@example.net"})
    password = secret_in(answer.text)

    assert answer.status_code == 200
    assert password not in (await root.get("/accounts")).text
    made = await account(house)
    assert (made.role, made.addresses, made.domains) == (Role.MODERATOR, (BOB,), ("example.org", "example.net"))
    assert made.password_hash.startswith("$argon2id$")
    assert (await house.stranger().sign_in(BOB, password)).status_code == 303


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"name": ROOT}, "name"),
        ({"role": "god"}, "role"),
        ({"addresses": "ann@example.org\nno address"}, "addresses"),
        ({"domains": "ann@example.org"}, "domains"),
    ],
    ids=["name", "taken", "role", "address", "domain"],
)
async def test_what_is_wrong_is_said_beside_its_field_and_nothing_is_lost(
    house: House, root: Visitor, fields: dict[str, str], field: str
) -> None:
    typed = {**NEW, "addresses": "kept@example.org", "role": "auditor", **fields}
    answer = await root.post("/accounts", typed)

    assert answer.status_code == 422
    assert re.findall(r'id="([a-z]+)-wrong"', answer.text) == [field]
    assert f'aria-describedby="{field}-wrong"' in answer.text
    for value in (typed["name"], typed["addresses"].partition("\n")[0]):
        assert value in answer.text
    assert len(await house.store.accounts.list_accounts()) == 1


async def test_change_is_written_down_and_ends_the_sessions(house: House, root: Visitor) -> None:
    bob = await house.person(Role.USER, BOB)
    page = await root.get("/accounts/edit", params={"name": BOB})
    assert '<option value="user" selected>' in page.text
    answer = await root.post(
        "/accounts/edit",
        {"name": BOB, "role": "moderator", "addresses": "b@example.org, +15550001", "domains": "x.example"},
    )

    assert answer.headers["location"] == "/accounts?said=saved"
    changed = await account(house)
    assert (changed.role, changed.addresses) == (Role.MODERATOR, ("b@example.org", "15550001"))
    assert changed.domains == ("x.example",)
    assert (await bob.get("/account")).status_code == 303


async def test_wrong_change_is_said_beside_its_field(house: House, root: Visitor) -> None:
    await house.person(Role.USER, BOB)
    answer = await root.post("/accounts/edit", {"name": BOB, "role": "user", "addresses": "oops", "domains": ""})

    assert answer.status_code == 422
    assert 'id="addresses-wrong"' in answer.text
    assert ">oops</textarea>" in answer.text


async def test_disabled_account_is_out_until_it_is_enabled(house: House, root: Visitor) -> None:
    bob = await house.person(Role.USER, BOB)
    fields = {"name": BOB, "role": "user", "addresses": BOB, "domains": ""}
    await root.post("/accounts/edit", {**fields, "is_disabled": "1"})
    assert (await bob.get("/account")).status_code == 303
    assert (await house.stranger().sign_in(BOB)).status_code == 401
    assert "disabled" in (await root.get("/accounts")).text
    await root.post("/accounts/edit", fields)

    assert (await house.stranger().sign_in(BOB)).status_code == 303


async def test_new_password_replaces_the_old_one(house: House, root: Visitor) -> None:
    bob = await house.person(Role.USER, BOB)
    password = secret_in((await root.post("/accounts/password", {"name": BOB})).text)

    assert (await bob.get("/account")).status_code == 303
    assert (await house.stranger().sign_in(BOB)).status_code == 401
    assert (await house.stranger().sign_in(BOB, password)).status_code == 303


async def test_removed_account_is_gone(house: House, root: Visitor) -> None:
    bob = await house.person(Role.USER, BOB)
    answer = await root.post("/accounts/remove", {"name": BOB})

    assert answer.headers["location"] == "/accounts?said=removed"
    assert (await bob.get("/account")).status_code == 303
    assert await house.store.accounts.find_account(BOB) is None


@pytest.mark.parametrize(
    ("path", "fields", "status"),
    [
        ("/accounts/edit", {"role": "user"}, 422),
        ("/accounts/edit", {"role": "administrator", "is_disabled": "1"}, 422),
        ("/accounts/remove", {}, 409),
        ("/accounts/password", {}, 409),
    ],
)
async def test_administrator_cannot_take_their_own_account_away(
    house: House, root: Visitor, path: str, fields: dict[str, str], status: int
) -> None:
    before = await account(house, ROOT)
    answer = await root.post(path, {"name": ROOT, "addresses": "", "domains": "", **fields})

    assert answer.status_code == status
    assert await account(house, ROOT) == before


async def test_administrator_who_changes_their_own_addresses_stays_signed_in(house: House, root: Visitor) -> None:
    await root.post("/accounts/edit", {"name": ROOT, "role": "administrator", "addresses": ROOT, "domains": ""})

    assert (await account(house, ROOT)).addresses == (ROOT,)
    assert (await root.get("/accounts")).status_code == 200


@pytest.mark.parametrize("path", ["/accounts/edit", "/accounts/remove", "/accounts/password"])
async def test_account_there_is_not_is_not_found(root: Visitor, path: str) -> None:
    assert (await root.post(path, {"name": "nobody", "role": "user"})).status_code == 404


async def test_account_for_somebody_who_signs_in_elsewhere_has_no_password() -> None:
    def with_provider(parts: Any) -> Any:
        return replace(parts, provider=object())

    house = a_house(configure=with_provider)
    root = await house.person(Role.ADMINISTRATOR, ROOT)
    answer = await root.post("/accounts", {**NEW, "elsewhere": "1"})

    assert not _SECRET.findall(answer.text)
    assert not (await account(house)).password_hash
    await house.close()


async def test_name_of_an_account_is_text_and_nothing_else(house: House, root: Visitor) -> None:
    name = '"><b>&x=1@example.org'
    await root.post("/accounts", {**NEW, "name": name})
    page = (await root.get("/accounts")).text

    assert "<b>" not in page
    (link,) = re.findall(r'href="(/accounts/edit\?name=%22[^"]*)"', page)
    assert (await root.get(link)).status_code == 200


async def test_token_is_shown_once_and_works_until_it_is_revoked(house: House, root: Visitor) -> None:
    answer = await root.post("/accounts/tokens", {"name": "robot", "scope": ["feedback", "rules"]})
    secret = secret_in(answer.text)
    found = await house.store.find_token(digest(secret))

    assert found is not None
    assert (found.name, found.scopes) == ("robot", (Scope.FEEDBACK, Scope.RULES))
    page = (await root.get("/accounts/tokens")).text
    assert "robot" in page
    assert secret not in page

    answer = await root.post("/accounts/tokens/revoke", {"name": "robot"})
    assert answer.headers["location"] == "/accounts/tokens?said=revoked"
    assert await house.store.find_token(digest(secret)) is None
    assert (await root.post("/accounts/tokens/revoke", {"name": "robot"})).status_code == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "cli", "scope": "admin"}, "name"),
        ({"name": "taken", "scope": "admin"}, "name"),
        ({"name": "robot"}, "scope"),
        ({"name": "robot", "scope": ["feedback", "everything"]}, "scope"),
    ],
)
async def test_wrong_token_is_said_beside_its_field(
    house: House, root: Visitor, fields: dict[str, Any], field: str
) -> None:
    await root.post("/accounts/tokens", {"name": "taken", "scope": "feedback"})
    answer = await root.post("/accounts/tokens", fields)

    assert answer.status_code == 422
    assert re.findall(r'id="([a-z]+)-wrong"', answer.text) == [field]
    assert len(await house.store.list_tokens()) == 1

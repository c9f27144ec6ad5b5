"""What stands before every page: sessions, roles, the form's own token, the headers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request

from filterd.account_ports import Account
from filterd.core.access import Role
from filterd.errors import StoreUnavailable
from filterd.web.guard import local_path
from filterd.web.peers import client_of
from filterd.web.render import HEADERS
from filterd.web_settings import WebSettings
from tests.filterd.web_visitor import FAST, PASSWORD, House, a_house, routes_of

OPEN = {"/sign-in", "/sign-in/once/{secret}", "/d/{secret}"}


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = a_house()
    yield house
    await house.close()


async def test_every_page_sends_strangers_to_sign_in_and_tells_them_nothing(house: House) -> None:
    stranger = house.stranger()
    for route in routes_of(house.app):
        if route.path in OPEN:
            continue
        for method in route.methods - {"HEAD"}:
            answer = await stranger.client.request(method, route.path.replace("{id}", "0" * 32))
            assert answer.status_code == 303, route.path
            assert answer.headers["location"].startswith("/sign-in"), route.path
            assert not answer.content


async def test_signing_in_goes_on_where_one_wanted_to_go(house: House) -> None:
    await house.person(Role.USER, "ann@example.org")
    stranger = house.stranger()
    asked = await stranger.get("/account?x=1")
    assert asked.headers["location"] == "/sign-in?next=%2Faccount%3Fx%3D1"

    answer = await stranger.sign_in("ann@example.org", next="/account?x=1")

    assert answer.headers["location"] == "/account?x=1"
    assert (await stranger.get("/account")).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "", "/a\nb", "javascript:alert(1)"],
)
def test_signing_in_never_leads_elsewhere(path: str) -> None:
    assert local_path(path) == "/"


async def test_cookie_is_out_of_reach_of_scripts_and_of_other_sites(house: House) -> None:
    await house.person(Role.USER, "ann@example.org")

    cookie = (await house.stranger().sign_in("ann@example.org")).headers["set-cookie"]

    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie


async def test_cookie_is_for_https_only_where_people_come_by_https() -> None:
    house = a_house(WebSettings(public_url="https://filter.example"))
    await house.store.accounts.add_account(_ann(house), "test")

    cookie = (await house.stranger("https://filter.example").sign_in("ann")).headers["set-cookie"]

    assert cookie.startswith("__Host-filterd=")
    assert "Secure" in cookie
    assert "Domain" not in cookie
    await house.close()


def _ann(house: House) -> Account:
    return Account(name="ann", role=Role.USER, password_hash=FAST.hash(PASSWORD), created_at=house.clock.now())


async def test_session_fixation_is_impossible_as_signing_in_makes_a_new_secret(house: House) -> None:
    await house.person(Role.USER, "ann@example.org")
    stranger = house.stranger()
    stranger.client.cookies.set("filterd", "chosen by the attacker")

    await stranger.sign_in("ann@example.org")
    attacker = house.stranger()
    attacker.client.cookies.set("filterd", "chosen by the attacker")

    assert (await attacker.get("/account")).status_code == 303


async def test_form_without_the_token_of_the_session_changes_nothing(house: House) -> None:
    ann = await house.person(Role.USER, "ann@example.org")
    other = await house.person(Role.USER, "bob@example.org")
    foreign = house.parts.sign_in.form_token(other.client.cookies["filterd"])
    for fields in ({}, {"token": ""}, {"token": foreign}):
        answer = await ann.client.post("/account/language", data={"language": "de", **fields})
        assert answer.status_code == 403
    account = await house.store.accounts.find_account("ann@example.org")
    assert account is not None
    assert not account.language

    assert (await ann.post("/account/language", {"language": "de"})).status_code == 303


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 303),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://filter.local"}, 303),
        ({}, 303),
    ],
    ids=["cross-site", "same-site", "same-origin", "foreign-origin", "null-origin", "own-origin", "program"],
)
async def test_form_that_another_site_sends_changes_nothing(house: House, headers: dict[str, str], status: int) -> None:
    ann = await house.person(Role.USER, "ann@example.org")
    token = house.parts.sign_in.form_token(ann.client.cookies["filterd"])

    answer = await ann.client.post("/account/language", data={"language": "de", "token": token}, headers=headers)

    assert answer.status_code == status


async def test_signing_out_ends_the_session_for_whoever_has_the_cookie(house: House) -> None:
    ann = await house.person(Role.USER, "ann@example.org")
    copy = house.stranger()
    copy.client.cookies.set("filterd", ann.client.cookies["filterd"])
    assert (await copy.get("/account")).status_code == 200

    assert (await ann.post("/sign-out")).headers["location"] == "/sign-in"

    assert (await copy.get("/account")).status_code == 303


async def test_every_answer_forbids_loading_what_is_not_ours(house: House) -> None:
    ann = await house.person(Role.USER, "ann@example.org")
    for path in ("/sign-in", "/account", "/nothing", "/sign-in?next=//x"):
        answer = await ann.get(path)
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (path, name)
        assert "<script>" not in answer.text
        assert " style=" not in answer.text
        assert " onclick" not in answer.text


async def test_wrong_password_says_no_more_than_that(house: House) -> None:
    await house.person(Role.USER, "ann@example.org")
    known = await house.stranger().sign_in("ann@example.org", "wrong")
    unknown = await house.stranger().sign_in("eve@example.org", "wrong")

    assert known.status_code == unknown.status_code == 401
    assert known.text.replace("ann@", "eve@") == unknown.text


async def test_guessing_is_slowed_down(house: House) -> None:
    await house.person(Role.USER, "ann@example.org")
    stranger = house.stranger()
    statuses = [(await stranger.sign_in("ann@example.org", f"guess {n}")).status_code for n in range(7)]

    assert statuses == [401] * 5 + [429] * 2


async def test_new_password_ends_every_other_session_and_keeps_this_one(house: House) -> None:
    ann = await house.person(Role.USER, "ann@example.org")
    other = house.stranger()
    await other.sign_in("ann@example.org")

    short = await ann.post("/account/password", {"password": PASSWORD, "new": "short"})
    wrong = await ann.post("/account/password", {"password": "wrong", "new": "another long one"})
    assert (short.status_code, wrong.status_code) == (409, 409)
    changed = await ann.post("/account/password", {"password": PASSWORD, "new": "another long one"})

    assert changed.status_code == 303
    assert (await ann.get("/account")).status_code == 200
    assert (await other.get("/account")).status_code == 303
    assert (await house.stranger().sign_in("ann@example.org", PASSWORD)).status_code == 401
    assert (await house.stranger().sign_in("ann@example.org", "another long one")).status_code == 303


async def test_language_follows_the_account_and_before_that_the_browser(house: House) -> None:
    german = {"accept-language": "fr, de-AT;q=0.9, en;q=0.8"}
    assert 'lang="de"' in (await house.stranger().get("/sign-in", headers=german)).text
    assert 'lang="en"' in (await house.stranger().get("/sign-in")).text

    ann = await house.person(Role.USER, "ann@example.org")
    await ann.post("/account/language", {"language": "en"})
    assert 'lang="en"' in (await ann.get("/account", headers=german)).text
    assert (await ann.post("/account/language", {"language": "xx"})).status_code == 409


async def test_database_that_is_away_is_a_page_that_says_so(house: House) -> None:
    ann = await house.person(Role.USER, "ann@example.org")
    house.store.failure = StoreUnavailable("postgresql://secret@host")

    answer = await ann.get("/account")

    assert answer.status_code == 503
    assert "secret" not in answer.text


async def test_large_body_is_refused(house: House) -> None:
    ann = await house.person(Role.USER, "ann@example.org")

    answer = await ann.client.post("/account/language", data={"language": "x" * 70_000})

    assert answer.status_code == 413


async def test_client_behind_a_proxy_is_whom_the_proxy_names_and_nobody_else(house: House) -> None:
    behind = a_house(WebSettings(public_url="http://filter.local", proxy_networks=("10.0.0.0/8",)))

    def client(house: House, peer: str, forwarded: str) -> str:
        headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
        return client_of(house.parts, Request({"type": "http", "headers": headers, "client": (peer, 1)}))

    assert client(house, "10.0.0.1", "192.0.2.1") == "10.0.0.1"
    assert client(behind, "10.0.0.1", "192.0.2.1") == "192.0.2.1"
    assert client(behind, "10.0.0.1", "203.0.113.9, 192.0.2.1, 10.0.0.2") == "192.0.2.1"
    assert client(behind, "192.0.2.1", "203.0.113.9") == "192.0.2.1"
    await behind.close()


async def test_link_of_the_command_line_signs_in_at_the_button_and_only_once(house: House) -> None:
    await house.person(Role.ADMINISTRATOR, "root")
    account = await house.store.accounts.find_account("root")
    assert account is not None
    path = f"/sign-in/once/{await house.parts.sign_in.link(account)}"
    scanner, first, second = house.stranger(), house.stranger(), house.stranger()
    for _ in range(3):
        assert (await scanner.get(path)).status_code == 200
        await scanner.client.head(path)
    foreign = await scanner.client.post(path, headers={"sec-fetch-site": "cross-site"})
    assert foreign.status_code == 409

    assert (await first.client.post(path)).status_code == 303
    assert (await second.client.post(path)).status_code == 409

    assert (await first.get("/account")).status_code == 200
    assert (await second.get("/account")).status_code == 303

"""Accounts over the API, and held messages read for people."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from filterd.account_ports import Scope, Token
from filterd.core.access import Role
from filterd.core.envelope import Channel, MessageId
from filterd.core.secret_digest import digest
from filterd.core.verdict import Action, Decision, Reason
from filterd.errors import Unscannable
from filterd.testing import FakeScanner, a_scan, an_envelope
from filterd.web.auth import new_secret
from filterd.web_settings import WebSettings
from tests.filterd.web_visitor import House, a_house

HOLD = Decision(action=Action.QUARANTINE, reason=Reason.SPAM, scan=a_scan(0.97))
RAW = (
    b"Subject: =?utf-8?q?You_w=C3=B6n?=\r\nFrom: Eve <eve@spam.example>\r\nContent-Type: text/html\r\n\r\n"
    b"<p>lottery <img src=https://canary.invalid/x><script>alert(1)</script></p>\r\n"
)


@pytest.fixture
async def house() -> AsyncIterator[House]:
    house = a_house()
    yield house
    await house.close()


async def call(house: House, method: str, path: str, body: Any = None, scope: Scope = Scope.ADMIN) -> httpx2.Response:
    secret = new_secret()
    token = Token(name=f"t{len(house.visitors)}", scopes=(scope,), created_at=house.clock.now())
    await house.store.add_token(token, digest(secret), "test")
    headers = {"authorization": f"Bearer {secret}"}
    return await house.stranger().client.request(method, f"/api/v1{path}", headers=headers, json=body)


async def test_account_is_made_with_a_password_that_signs_in_and_is_said_once(house: House) -> None:
    made = await call(house, "POST", "/accounts", {"name": "Ann@Example.org"})

    assert made.status_code == 201
    assert made.json()["addresses"] == ["ann@example.org"]
    answer = await house.stranger().sign_in("ann@example.org", made.json()["password"])
    assert answer.status_code == 303
    (shown,) = (await call(house, "GET", "/accounts")).json()["accounts"]
    assert "password" not in shown
    assert shown["has_password"]


async def test_account_for_the_provider_has_no_password(house: House) -> None:
    made = (await call(house, "POST", "/accounts", {"name": "bob", "role": "auditor", "elsewhere": True})).json()

    assert (made["password"], made["has_password"], made["role"]) == ("", False, "auditor")


async def test_account_is_changed_only_in_what_is_given_and_its_sessions_end(house: House) -> None:
    visitor = await house.person(Role.MODERATOR, "mod", domains=("example.net",))

    answer = await call(house, "PATCH", "/accounts/MOD", {"addresses": ["mod@example.net"]})

    assert (answer.json()["domains"], answer.json()["addresses"]) == (["example.net"], ["mod@example.net"])
    assert (await visitor.get("/account")).status_code == 303


async def test_digest_and_language_are_set_and_taken_back_and_sessions_go_on(house: House) -> None:
    ann = await house.person(Role.USER, "ann@example.org", addresses=("ann@example.org",))

    when = "workdays 07:30 Europe/Berlin"
    set_ = (await call(house, "PATCH", "/accounts/ann@example.org", {"digest": when, "language": "de"})).json()
    usual = (await call(house, "PATCH", "/accounts/ann@example.org", {"digest": ""})).json()

    assert (set_["digest"], set_["language"]) == (when, "de")
    assert (usual["digest"], usual["language"]) == ("", "de")
    assert (await ann.get("/account")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/accounts", {"name": "taken"}, 409),
        ("POST", "/accounts", {"name": "two words"}, 409),
        ("POST", "/accounts", {"name": "ann", "addresses": ["x"]}, 409),
        ("POST", "/accounts", {"name": "ann", "password": "chosen"}, 422),
        ("POST", "/accounts", {"name": "ann", "role": "emperor"}, 422),
        ("PATCH", "/accounts/nobody", {"disabled": True}, 404),
        ("PATCH", "/accounts/taken", {"digest": "daily"}, 422),
        ("PATCH", "/accounts/taken", {"digest": "daily 07:00 Nowhere/Land"}, 422),
        ("PATCH", "/accounts/taken", {"language": "xx"}, 422),
        ("DELETE", "/accounts/nobody", None, 404),
    ],
)
async def test_what_cannot_be_done_is_a_problem(house: House, method: str, path: str, body: Any, status: int) -> None:
    await house.person(Role.USER, "taken")

    answer = await call(house, method, path, body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(await house.store.accounts.list_accounts()) == 1


async def test_removed_account_is_gone(house: House) -> None:
    await house.person(Role.USER, "ann")

    assert (await call(house, "DELETE", "/accounts/ann")).status_code == 204
    assert not await house.store.accounts.list_accounts()


@pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.ADMIN])
async def test_accounts_are_the_administrators(house: House, scope: Scope) -> None:
    await house.person(Role.USER, "ann")
    for method, path, body in (
        ("GET", "/accounts", None),
        ("POST", "/accounts", {"name": "eve", "role": "administrator"}),
        ("PATCH", "/accounts/ann", {"role": "administrator"}),
        ("DELETE", "/accounts/ann", None),
    ):
        assert (await call(house, method, path, body, scope)).status_code == 403
    (account,) = await house.store.accounts.list_accounts()
    assert account.role is Role.USER


async def test_held_mail_is_read_for_people_and_its_html_is_safe() -> None:
    house = a_house(configure=lambda parts: _with_reader(parts, FakeScanner()))
    await house.store.hold(an_envelope(id=MessageId("1" * 32)), RAW, HOLD)

    mail = (await call(house, "GET", f"/quarantine/{'1' * 32}/view", scope=Scope.QUARANTINE)).json()

    assert (mail["subject"], mail["author"]) == ("You w\u00f6n", "Eve <eve@spam.example>")
    assert "lottery" in mail["text"]
    assert "canary" not in mail["html"]
    assert "<script" not in mail["html"]
    await house.close()


async def test_unreadable_mail_is_422_and_an_sms_is_its_text() -> None:
    house = a_house(configure=lambda parts: _with_reader(parts, FakeScanner(failure=Unscannable("too deep"))))
    await house.store.hold(an_envelope(id=MessageId("1" * 32)), RAW, HOLD)
    sms = an_envelope("+1555", "+1556", id=MessageId("2" * 32), channel=Channel.SMS)
    await house.store.hold(sms, b"you won", HOLD)

    broken = await call(house, "GET", f"/quarantine/{'1' * 32}/view", scope=Scope.QUARANTINE)
    text = await call(house, "GET", f"/quarantine/{'2' * 32}/view", scope=Scope.QUARANTINE)
    foreign = await call(house, "GET", f"/quarantine/{'2' * 32}/view", scope=Scope.FEEDBACK)

    assert (broken.status_code, text.json()["text"], foreign.status_code) == (422, "you won", 403)
    await house.close()


def _with_reader(parts: Any, reader: FakeScanner) -> Any:
    return replace(parts, reader=reader)


async def test_history_is_for_staff_where_the_house_says_so() -> None:
    house = a_house(WebSettings(public_url="http://filter.local", history="staff"))
    for role, status in ((Role.USER, 403), (Role.MODERATOR, 200), (Role.AUDITOR, 200)):
        visitor = await house.person(role)
        assert (await visitor.get("/history")).status_code == status
        assert ('href="/history"' in (await visitor.get("/account")).text) is (status == 200)
    await house.close()

"""Signing in at an OpenID provider: a real one, and one that lies in every part of its answers."""

from __future__ import annotations

import base64
import hashlib
import json
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from filterd.account_ports import Account
from filterd.clock import SystemClock
from filterd.core.access import Role
from filterd.setting_types import Secret
from filterd.web.oidc import OpenIdProvider
from filterd.web.pages.provider import COOKIE_SECONDS
from filterd.web.parts import WebParts
from filterd.web_settings import OidcSettings, WebSettings
from tests.filterd.provider_mock import CLIENT_ID, Liar, a_key, address_in, consent, lying_provider, real_provider
from tests.filterd.web_visitor import FAST, PASSWORD, House, Visitor, a_house

pytestmark = pytest.mark.slow  # a provider that is a process

ANN = "ann@example.org"
VERIFIED = {"email": ANN, "email_verified": True}


def house_at(issuer: str, **settings: Any) -> House:
    """The pages of somebody whose people sign in at ``issuer``."""
    oidc = OidcSettings(issuer=issuer, client_id=CLIENT_ID, name="Example", **settings)
    web = WebSettings(public_url="http://filter.local", oidc=oidc)

    def configure(parts: WebParts) -> WebParts:
        return replace(parts, provider=OpenIdProvider(oidc, "http://filter.local/sign-in/callback", parts.clock))

    return a_house(web, configure)


@dataclass
class Scene:
    """The pages, a lying provider, and somebody who wants in."""

    house: House
    liar: Liar
    visitor: Visitor

    async def leave(self, next_path: str = "/account") -> dict[str, str]:
        """Go to the provider; what it is asked."""
        page = await self.visitor.client.post("/sign-in/provider", data={"next": next_path})
        assert page.status_code == 200, page.text
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address_in(page.text)).query))
        self.liar.nonce = query["nonce"]
        return query

    async def come_back(self, state: str, code: str = "c") -> Any:
        """Return from it."""
        return await self.visitor.get("/sign-in/callback", params={"state": state, "code": code})

    async def try_in(self) -> Any:
        """There and back."""
        return await self.come_back((await self.leave())["state"])

    async def account(self, name: str = ANN) -> Account | None:
        return await self.house.store.accounts.find_account(name)


@contextmanager
def scene(**settings: Any) -> Iterator[Scene]:
    house = house_at("http://127.0.0.1:1", **settings)
    with lying_provider(house.clock) as liar:
        again = house_at(liar.issuer, **settings)
        liar.clock = again.clock
        yield Scene(again, liar, again.stranger())


@pytest.fixture
def stage() -> Iterator[Scene]:
    with scene() as made:
        yield made


@pytest.mark.slow
async def test_somebody_signs_in_at_a_real_provider_and_gets_an_account() -> None:
    # Its tokens bear the time of the machine.
    with real_provider(ann=VERIFIED) as issuer:
        house = house_at(issuer, client_secret=Secret("s"))
        assert house.parts.provider is not None
        house.parts.provider._clock = SystemClock()
        visitor = house.stranger()
        assert "Sign in with Example" in (await visitor.get("/sign-in")).text
        page = await visitor.client.post("/sign-in/provider", data={"next": "/account"})
        answer = await visitor.get(await consent(address_in(page.text), "ann"))

        assert (answer.status_code, answer.headers["location"]) == (303, "/account")
        assert (await visitor.get("/account")).status_code == 200
        account = await house.store.accounts.find_account(ANN)
        assert account is not None
        assert (account.subject, account.role, account.addresses) == (f"{issuer} ann", Role.USER, (ANN,))
        await house.close()


@pytest.mark.slow
async def test_unverified_address_at_a_real_provider_is_not_let_in() -> None:
    with real_provider(eve={"email": ANN, "email_verified": False}) as issuer:
        house = house_at(issuer, client_secret=Secret("s"))
        assert house.parts.provider is not None
        house.parts.provider._clock = SystemClock()
        visitor = house.stranger()
        page = await visitor.client.post("/sign-in/provider", data={"next": "/"})
        answer = await visitor.get(await consent(address_in(page.text), "eve"))

        assert answer.status_code == 403
        assert not await house.store.accounts.list_accounts()
        await house.close()


async def test_browser_is_sent_with_state_nonce_and_the_hash_of_a_verifier(stage: Scene) -> None:
    asked = await stage.leave()
    await stage.come_back(asked["state"])

    (exchange,) = stage.liar.token_requests
    assert asked["code_challenge_method"] == "S256"
    hashed = hashlib.sha256(exchange["code_verifier"].encode()).digest()
    assert asked["code_challenge"] == base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()
    assert asked["redirect_uri"] == exchange["redirect_uri"] == "http://filter.local/sign-in/callback"
    assert exchange["client_id"] == CLIENT_ID
    assert len({asked["state"], asked["nonce"], exchange["code_verifier"]}) == 3


async def test_secret_goes_in_the_header(stage: Scene) -> None:
    with scene(client_secret=Secret("s:e c")) as made:
        await made.try_in()
        (exchange,) = made.liar.token_requests
    assert base64.b64decode(exchange["authorization"].removeprefix("Basic ")) == b"filter:s%3Ae+c"
    assert "client_secret" not in exchange


async def test_token_that_is_as_it_should_be_is_believed(stage: Scene) -> None:
    answer = await stage.try_in()

    assert answer.headers["location"] == "/account"
    assert (await stage.visitor.get("/account")).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another request"},
        {"nonce": None},
        {"aud": "another client"},
        {"aud": [CLIENT_ID, "another client"], "azp": "another client"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"exp": 1_000},
        {"exp": None},
        {"iat": 99_999_999_999},
        {"sub": None},
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": "no"},
        {"email": "not an address"},
        {"email": ["ann@example.org"]},
    ],
    ids=lambda claims: "-".join(f"{name}={value}" for name, value in claims.items())[:40],
)
async def test_token_that_says_something_else_is_not_believed(stage: Scene, claims: dict[str, Any]) -> None:
    stage.liar.claims = claims
    answer = await stage.try_in()

    assert answer.status_code == 403
    assert "filterd" not in {cookie.name for cookie in stage.visitor.client.cookies.jar}
    assert not await stage.house.store.accounts.list_accounts()


async def test_token_that_has_expired_is_not_believed(stage: Scene) -> None:
    asked = await stage.leave()
    stage.liar.id_token = stage.liar.token()
    stage.house.clock.advance(300 + 61)

    assert (await stage.come_back(asked["state"])).status_code == 403


async def test_unsigned_token_is_not_believed(stage: Scene) -> None:
    asked = await stage.leave()
    _, body, _ = stage.liar.token().split(".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
    stage.liar.id_token = f"{header}.{body}."

    assert (await stage.come_back(asked["state"])).status_code == 403


async def test_token_signed_with_the_public_key_as_a_secret_is_not_believed(stage: Scene) -> None:
    """RFC 8725 section 2.1."""
    asked = await stage.leave()
    stage.liar.header = {"alg": "HS256", "kid": "1"}

    assert (await stage.come_back(asked["state"])).status_code == 403


async def test_token_signed_with_another_key_is_not_believed(stage: Scene) -> None:
    stage.liar.published = [stage.liar.key]
    stage.liar.key = a_key("1 of somebody else")

    assert (await stage.try_in()).status_code == 403


async def test_provider_that_changes_its_keys_is_asked_again(stage: Scene) -> None:
    assert (await stage.try_in()).status_code == 303
    stage.liar.key = a_key("2")
    stage.liar.header = {"alg": "RS256", "kid": "2"}

    assert (await stage.try_in()).status_code == 303


@pytest.mark.parametrize("token", ["", "a.b.c", "x" * 10_000, "..", "\u00e4.\u00e4.\u00e4"])
async def test_what_is_no_token_is_not_believed(stage: Scene, token: str) -> None:
    asked = await stage.leave()
    stage.liar.id_token = token or " "

    assert (await stage.come_back(asked["state"])).status_code == 403


@pytest.mark.parametrize("state", ["", "another", "\u00e4"])
async def test_answer_that_this_browser_did_not_ask_for_is_refused(stage: Scene, state: str) -> None:
    await stage.leave()

    assert (await stage.come_back(state)).status_code == 403
    assert not stage.liar.token_requests


async def test_answer_brought_by_another_browser_is_refused(stage: Scene) -> None:
    asked = await stage.leave()
    stage.visitor = stage.house.stranger()

    assert (await stage.come_back(asked["state"])).status_code == 403


async def test_answer_is_taken_once_and_for_ten_minutes(stage: Scene) -> None:
    asked = await stage.leave()
    assert (await stage.come_back(asked["state"])).status_code == 303
    assert (await stage.come_back(asked["state"])).status_code == 403

    asked = await stage.leave()
    stage.house.clock.advance(COOKIE_SECONDS)
    assert (await stage.come_back(asked["state"])).status_code == 403


async def test_cookie_that_somebody_else_wrote_is_refused(stage: Scene) -> None:
    asked = await stage.leave()
    body, _, seal = stage.visitor.client.cookies["filterd-openid"].rpartition(".")
    tree = json.loads(base64.urlsafe_b64decode(body)) | {"next_path": "/elsewhere"}
    forged = base64.urlsafe_b64encode(json.dumps(tree).encode()).decode()
    stage.visitor.client.cookies.set("filterd-openid", f"{forged}.{seal}", domain="filter.local", path="/")

    assert (await stage.come_back(asked["state"])).status_code == 403


async def test_cookie_is_out_of_reach_of_scripts(stage: Scene) -> None:
    page = await stage.visitor.client.post("/sign-in/provider", data={"next": "/"})

    for part in ("HttpOnly", "SameSite=lax", f"Max-Age={COOKIE_SECONDS}"):
        assert part in page.headers["set-cookie"]


@pytest.mark.parametrize("next_path", ["https://evil.example", "//evil.example", "/\\evil.example"])
async def test_signing_in_never_leads_elsewhere(stage: Scene, next_path: str) -> None:
    asked = await stage.leave(next_path)

    assert (await stage.come_back(asked["state"])).headers["location"] == "/"


async def test_leaving_is_not_started_by_another_site(stage: Scene) -> None:
    answer = await stage.visitor.client.post("/sign-in/provider", headers={"sec-fetch-site": "cross-site"})

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_provider_that_refuses_is_said(stage: Scene) -> None:
    asked = await stage.leave()
    answer = await stage.visitor.get(
        "/sign-in/callback", params={"state": asked["state"], "error": "access_denied", "error_description": "<b>x"}
    )

    assert answer.status_code == 403
    assert "<b>x" not in answer.text


async def test_failed_tries_are_slowed_down(stage: Scene) -> None:
    stage.liar.claims = {"nonce": "wrong"}
    statuses = [(await stage.come_back("made up")).status_code for _ in range(22)]

    assert statuses == [403] * 21 + [429]
    assert (await stage.visitor.client.post("/sign-in/provider", data={"next": "/"})).status_code == 429


@pytest.mark.parametrize(
    "metadata",
    [{"issuer": "https://evil.example"}, {"token_endpoint": "ftp://x/"}, {"jwks_uri": ""}],
    ids=["issuer", "scheme", "no keys"],
)
async def test_provider_that_says_nonsense_of_itself_is_not_used(stage: Scene, metadata: dict[str, str]) -> None:
    stage.liar.metadata = metadata
    page = await stage.visitor.client.post("/sign-in/provider", data={"next": "/"})
    if page.status_code == 200:
        page = await stage.come_back((await stage.leave())["state"])

    assert page.status_code == 503


async def test_provider_that_is_away_is_said() -> None:
    house = house_at("http://127.0.0.1:1")
    answer = await house.stranger().client.post("/sign-in/provider", data={"next": "/"})

    assert answer.status_code == 503
    assert "does not answer just now" in answer.text
    await house.close()


async def test_user_info_fills_in_what_the_token_leaves_out_about_the_same_person(stage: Scene) -> None:
    stage.liar.claims = {"email": None, "email_verified": None}
    stage.liar.user_info = {"sub": "18", **VERIFIED}
    assert (await stage.try_in()).status_code == 403
    stage.liar.user_info = {"sub": "17", **VERIFIED}

    assert (await stage.try_in()).status_code == 303


async def test_account_is_found_by_its_subject_whatever_the_address_is_now(stage: Scene) -> None:
    await stage.try_in()
    stage.liar.claims = {"email": "ann.other@example.org"}
    await stage.try_in()

    (account,) = await stage.house.store.accounts.list_accounts()
    assert (account.name, account.addresses) == (ANN, ("ann.other@example.org",))


async def test_disabled_account_is_not_let_in(stage: Scene) -> None:
    await stage.try_in()
    account = await stage.account()
    assert account is not None
    await stage.house.store.accounts.change_account(replace(account, is_disabled=True), "root")

    assert (await stage.try_in()).status_code == 403


async def test_account_with_a_password_is_not_taken_over(stage: Scene) -> None:
    await stage.house.store.accounts.add_account(
        Account(
            name=ANN, role=Role.ADMINISTRATOR, password_hash=FAST.hash(PASSWORD), created_at=stage.house.clock.now()
        ),
        "test",
    )

    assert (await stage.try_in()).status_code == 403
    account = await stage.account()
    assert account is not None
    assert not account.subject


async def test_account_that_was_prepared_is_the_one_of_its_address() -> None:
    with scene(creates_accounts=False) as stage:
        assert (await stage.try_in()).status_code == 403
        prepared = Account(name=ANN, role=Role.AUDITOR, addresses=("15550001",), created_at=stage.house.clock.now())
        await stage.house.store.accounts.add_account(prepared, "test")

        assert (await stage.try_in()).status_code == 303
        account = await stage.account()
    assert account == replace(prepared, subject=f"{stage.liar.issuer} 17", addresses=(ANN, "15550001"))


async def test_roles_follow_the_provider_where_they_are_mapped() -> None:
    with scene(administrators=("mail-admins",), moderators=("mod@example.org", "mail-mods")) as stage:
        roles = []
        for claims in (
            {"groups": ["staff", "mail-admins"]},
            {"groups": "mail-mods"},
            {"email": "mod@example.org", "groups": [{"odd": 1}]},
            {"email": "mod@example.org", "email_verified": False, "groups": []},
            {"groups": ["MAIL-ADMINS"]},
        ):
            stage.liar.claims = claims
            await stage.try_in()
            account = await stage.account()
            assert account is not None
            roles.append(account.role)

    assert account is not None
    assert roles == [Role.ADMINISTRATOR, Role.MODERATOR, Role.MODERATOR, Role.USER, Role.USER]
    assert account.domains == ("example.org",)


async def test_addresses_come_from_the_claims_that_are_named() -> None:
    with scene(address_claims=("email", "aliases")) as stage:
        stage.liar.claims = {"aliases": ["Sales@Example.org", 7, "no address", "a@b c", ANN]}
        await stage.try_in()
        account = await stage.account()

    assert account is not None
    assert account.addresses == (ANN, "sales@example.org")


@pytest.mark.parametrize(
    "settings",
    [
        {"issuer": "http://id.example"},
        {"issuer": "https://id.example/?x=1"},
        {"issuer": "https://id.example"},
        {"issuer": "https://id.example", "client_id": "x", "scopes": ("email",)},
    ],
    ids=["http", "query", "no client", "no openid"],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        OidcSettings(**settings)

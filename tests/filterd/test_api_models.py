"""The API of models: for the scope admin only, with problem documents for what cannot be done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from filterd.account_ports import Scope, Token
from filterd.core.envelope import Channel, MessageId
from filterd.core.secret_digest import digest
from filterd.model_ports import Disagreement, Trial
from filterd.web.app import build_app
from filterd.web.auth import new_secret
from tests.filterd.model_shop import CARD, FIRST, PACKAGED, SECOND, Shop, a_shop, stock
from tests.filterd.web_visitor import House, a_house, api_parts

EMAIL = Channel.EMAIL
CALLS: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/models", None),
    ("GET", f"/models/email/{FIRST}", None),
    ("POST", "/models/email/promote", {"id": SECOND}),
    ("POST", "/models/email/rollback", None),
    ("POST", "/models/email/trial", {"id": SECOND, "share": 0.1}),
    ("DELETE", "/models/email/trial", None),
    ("GET", "/models/email/trial/disagreements", None),
)


class Program:
    """Something that calls the API with tokens."""

    def __init__(self, house: House, shop: Shop) -> None:
        parts = replace(api_parts(house.parts, house.store), models=shop.parts)
        transport = httpx2.ASGITransport(app=build_app(parts, None))
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://filter.local")
        self.house = house
        self.shop = shop
        self._secrets: dict[Scope, str] = {}

    async def call(
        self, method: str, path: str, body: Any = None, scope: Scope | None = Scope.ADMIN
    ) -> httpx2.Response:
        headers = {} if scope is None else {"authorization": f"Bearer {await self._secret(scope)}"}
        return await self.client.request(method, f"/api/v1{path}", headers=headers, json=body)

    async def _secret(self, scope: Scope) -> str:
        if scope not in self._secrets:
            self._secrets[scope] = new_secret()
            token = Token(name=scope.value, scopes=(scope,), created_at=self.house.clock.now())
            await self.house.store.add_token(token, digest(self._secrets[scope]), "test")
        return self._secrets[scope]

    def notes(self) -> list[tuple[str, str, str]]:
        return [(event, target, by) for event, target, by, _ in self.house.store.notes]


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stock(tmp_path_factory.mktemp("stock"))


@pytest.fixture
async def program(stocked: Path, tmp_path: Path) -> AsyncIterator[Program]:
    house = a_house()
    program = Program(house, a_shop(stocked, tmp_path, house.store))
    yield program
    await program.client.aclose()
    await house.close()


@pytest.mark.parametrize("scope", [None, Scope.FEEDBACK, Scope.QUARANTINE, Scope.RULES])
@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_without_the_scope_nothing_is_told_or_changed(
    program: Program, scope: Scope | None, method: str, path: str, body: Any
) -> None:
    answer = await program.call(method, path, body, scope)

    assert answer.status_code == (401 if scope is None else 403)
    assert answer.headers["content-type"] == "application/problem+json"
    assert FIRST not in answer.text
    assert program.shop.current() == FIRST
    assert program.shop.registry.trial(EMAIL) is None


async def test_models_are_listed_with_what_each_is_there_for(program: Program) -> None:
    program.shop.registry.try_out(EMAIL, Trial(id=SECOND, share=0.5))

    email, sms = (await program.call("GET", "/models")).json()["channels"]

    assert {v["id"]: v["standings"] for v in email["versions"]} == {
        SECOND: ["on_trial"],
        FIRST: ["in_service"],
        PACKAGED: ["packaged", "previous"],
    }
    assert (email["serving"], email["previous"], email["pinned"]) == (FIRST, PACKAGED, False)
    assert email["trial"] == {"id": SECOND, "share": 0.5, "decides": False}
    assert [v["standings"] for v in sms["versions"]] == [["in_service", "packaged"]]


async def test_disagreements_are_those_of_the_bundle_on_trial(program: Program) -> None:
    path, seen_at = "/models/email/trial/disagreements", program.house.clock.now()
    for candidate in (SECOND, PACKAGED):
        await program.house.store.record_disagreement(
            Disagreement(
                message=MessageId("1" * 32),
                channel=EMAIL,
                candidate=candidate,
                candidate_probability=0.99,
                incumbent=FIRST,
                incumbent_probability=0.1,
                seen_at=seen_at,
            )
        )
    assert (await program.call("GET", path)).json() == {"disagreements": []}

    program.shop.registry.try_out(EMAIL, Trial(id=SECOND, share=0.5))

    (found,) = (await program.call("GET", path)).json()["disagreements"]
    assert (found["message"], found["candidate"], found["incumbent"]) == ("1" * 32, SECOND, FIRST)
    assert (found["candidate_probability"], found["incumbent_probability"]) == (0.99, 0.1)


async def test_model_is_shown_with_card_figures_and_gate(program: Program) -> None:
    shown = (await program.call("GET", f"/models/email/{FIRST}")).json()

    assert shown["card"] == CARD
    assert shown["points"].keys() == {"lenient", "normal", "strict"}
    assert shown["corpora"] == [
        {"corpus": "uci", "ham": 200, "spam": 50, "ham_lost": {"normal": 1}, "spam_caught": {"normal": 40}}
    ]
    assert shown["gate"][0]["refuses"] is True


async def test_models_are_promoted_rolled_back_and_tried_and_it_is_audited(program: Program) -> None:
    call = program.call
    assert (await call("POST", "/models/email/promote", {"id": SECOND, "instead_of": FIRST})).json() == {
        "id": SECOND,
        "audited": True,
    }
    assert program.shop.current() == SECOND
    assert (await call("POST", "/models/email/rollback", {"to": FIRST})).json()["id"] == FIRST
    assert (await call("POST", "/models/email/trial", {"id": SECOND, "share": 0.1})).json()["id"] == SECOND
    assert (await call("DELETE", "/models/email/trial")).json()["id"] == SECOND
    assert (await call("DELETE", "/models/email/trial")).json()["id"] == ""

    assert program.shop.current() == FIRST
    assert program.notes() == [
        ("promoted", SECOND, "admin"),
        ("rolled back to", FIRST, "admin"),
        ("shadow", SECOND, "admin"),
        ("trial ended", SECOND, "admin"),
    ]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/models/fax/x", None, 422),
        ("GET", "/models/email/nothing", None, 404),
        ("POST", "/models/email/promote", {"id": "nothing"}, 404),
        ("POST", "/models/email/promote", {"id": "../x"}, 409),
        ("POST", "/models/email/promote", {"id": SECOND, "instead_of": PACKAGED}, 409),
        ("POST", "/models/email/promote", {"id": SECOND, "now": True}, 422),
        ("POST", "/models/email/promote", None, 422),
        ("POST", "/models/sms/rollback", None, 409),
        ("POST", "/models/email/rollback", {"to": SECOND}, 409),
        ("POST", "/models/email/trial", {"id": SECOND, "share": 0}, 422),
        ("POST", "/models/email/trial", {"id": "nothing"}, 404),
    ],
)
async def test_what_cannot_be_done_is_a_problem_document(
    program: Program, method: str, path: str, body: Any, status: int
) -> None:
    answer = await program.call(method, path, body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert program.shop.current() == FIRST
    assert not program.notes()


async def test_damaged_bundle_is_a_problem_of_whoever_asks(program: Program) -> None:
    program.shop.file(SECOND, "model.onnx").write_bytes(b"")

    answer = await program.call("POST", "/models/email/promote", {"id": SECOND})

    assert answer.status_code == 409
    assert "model.onnx" in answer.json()["detail"]


async def test_unreadable_registry_is_told_and_the_rest_is_listed(program: Program) -> None:
    program.shop.file("current").write_bytes(b"\xff")

    email, sms = (await program.call("GET", "/models")).json()["channels"]

    assert "current" in email["trouble"]
    assert {v["id"] for v in email["versions"]} == {FIRST, SECOND, PACKAGED}
    assert not sms["trouble"]

"""The API of rules set at run time: who may give which, what is refused, and how they are taken back."""

from __future__ import annotations

from typing import Any

import pytest

from filterd.account_ports import Scope
from filterd.core.overlay import OFF, ListEntry, ListKind, Thresholds
from filterd.rule_ports import RuleOrigin
from tests.filterd.test_api import ID, UNKNOWN, Api, api

__all__ = ["api"]

ANN = "ann@example.net"
ALLOW = {"kind": "allow", "scope": "Ann@Example.net", "entry": "Eve@Example.org"}
THRESHOLDS = {"kind": "thresholds", "scope": ANN, "tag_at": 0.25, "quarantine_at": OFF}


async def test_entry_when_given_is_201_then_200_and_stands_in_the_book(api: Api) -> None:
    first, again = [await api.call("POST", "/rules", Scope.RULES, ALLOW | {"message": ID}) for _ in range(2)]

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == {
        "id": 1,
        "scope": ANN,
        "kind": "allow",
        "entry": "eve@example.org",
        "tag_at": None,
        "quarantine_at": None,
        "enabled": None,
        "by": "rules",
        "given_at": "2026-01-01T00:00:00Z",
        "origin": "api",
        "message": ID,
        "revoked_at": None,
        "revoked_by": "",
        "new": True,
    }
    assert again.json() == first.json() | {"new": False}
    row = await api.store.rules.find(1)
    assert row.given.rule == ListEntry.of(ANN, ListKind.ALLOW, "eve@example.org")
    assert row.given.origin is RuleOrigin.API


async def test_thresholds_when_given_stand_in_the_book(api: Api) -> None:
    response = await api.call("POST", "/rules", Scope.RULES, THRESHOLDS)

    assert response.status_code == 201
    assert {k: v for k, v in response.json().items() if k in THRESHOLDS} == THRESHOLDS
    assert (await api.store.rules.find(1)).given.rule == Thresholds.of(ANN, tag_at=0.25, quarantine_at=OFF)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_rules_for_everybody_are_an_administrator_s(api: Api, method: str) -> None:
    entry = {"kind": "allow", "scope": "", "entry": "eve@example.org"}
    path, body = ("/rules", entry) if method == "POST" else ("/rules/1", None)
    if method == "DELETE":
        await api.call("POST", "/rules", Scope.ADMIN, entry)
    standing = len(await api.store.rules.list())

    refused = await api.call(method, path, Scope.RULES, body)

    assert refused.status_code == 403
    assert len(await api.store.rules.list()) == standing
    assert (await api.call(method, path, Scope.ADMIN, body)).is_success


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"entry": "two words"}, "entry"),
        ({"entry": ""}, "entry"),
        ({"entry": "x" * 300}, "entry"),
        ({"scope": "@"}, "scope"),
        ({"scope": "a b"}, "scope"),
        ({"kind": "tolerate"}, "body"),
        ({"more": 1}, "more"),
        ({"kind": "thresholds", "entry": "a.example"}, "entry"),
        (THRESHOLDS | {"tag_at": "brutal"}, "tag_at"),
        (THRESHOLDS | {"quarantine_at": 1.5}, "quarantine_at"),
        (THRESHOLDS | {"tag_at": None, "quarantine_at": None}, "thresholds"),
    ],
)
async def test_rule_that_means_nothing_is_a_problem_that_names_the_field(
    api: Api, change: dict[str, Any], field: str
) -> None:
    body = change if change.keys() >= THRESHOLDS.keys() else ALLOW | change

    response = await api.call("POST", "/rules", Scope.RULES, body)

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert field in response.json()["detail"]
    assert "two words" not in response.text
    assert len(await api.store.rules.list()) == 0


async def test_rule_at_an_unknown_message_is_404(api: Api) -> None:
    assert (await api.call("POST", "/rules", Scope.RULES, ALLOW | {"message": UNKNOWN})).status_code == 404


async def test_rule_is_revoked_once(api: Api) -> None:
    await api.call("POST", "/rules", Scope.RULES, ALLOW)

    answers = [await api.call("DELETE", "/rules/1", Scope.RULES) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 409]
    assert (await api.store.rules.find(1)).revoked_by == "rules"
    assert (await api.call("DELETE", "/rules/2", Scope.RULES)).status_code == 404
    assert (await api.call("DELETE", f"/rules/{2**64}", Scope.RULES)).status_code == 422


async def test_list_is_of_a_scope_newest_first_in_pages(api: Api) -> None:
    for n in range(3):
        await api.call("POST", "/rules", Scope.RULES, ALLOW | {"entry": f"{n}.example"})
    await api.call("POST", "/rules", Scope.ADMIN, ALLOW | {"scope": ""})
    await api.call("DELETE", "/rules/2", Scope.RULES)

    page = (await api.call("GET", "/rules?scope=ann@EXAMPLE.net&limit=1", Scope.RULES)).json()
    rest = (await api.call("GET", f"/rules?scope={ANN}&before={page['next']}", Scope.RULES)).json()
    everything = (await api.call("GET", "/rules?revoked=1", Scope.RULES)).json()
    everybody = (await api.call("GET", "/rules?scope=", Scope.RULES)).json()

    assert [rule["id"] for rule in page["rules"]] == [3]
    assert ([rule["id"] for rule in rest["rules"]], rest["next"]) == ([1], None)
    assert [(rule["id"], rule["revoked_by"]) for rule in everything["rules"]] == [
        (4, ""),
        (3, ""),
        (2, "rules"),
        (1, ""),
    ]
    assert [rule["id"] for rule in everybody["rules"]] == [4]


async def test_preview_says_what_each_threshold_would_have_done(api: Api) -> None:
    await api.call("POST", "/feedback", Scope.FEEDBACK, {"id": ID, "label": "ham"})

    mine = (await api.call("GET", "/rules/preview?scope=bob@example.net", Scope.RULES)).json()
    nobody = (await api.call("GET", "/rules/preview?scope=nobody@example.net", Scope.RULES)).json()
    everybody = await api.call("GET", "/rules/preview", Scope.RULES)

    assert (mine["days"], mine["messages"]) == (30, 1)
    assert mine["positions"][0] == {"threshold": 0.3, "held": 1, "held_wanted": 1, "passed_spam": 0}
    assert mine["positions"][-1] == {"threshold": 0.999, "held": 0, "held_wanted": 0, "passed_spam": 0}
    assert nobody["messages"] == 0
    assert everybody.status_code == 403

"""The HTTP API: who may do what, what is answered, and what never is."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from argon2 import PasswordHasher
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from filterd.account_ports import Scope, Token
from filterd.core.envelope import Channel, MessageId
from filterd.core.headers import Stamp
from filterd.core.secret_digest import digest
from filterd.core.verdict import Action, Decision, Evidence, Outcome, OutcomeKind, Reason, Reply, Verdict
from filterd.errors import StoreFull, StoreUnavailable
from filterd.inference.registry import Registry
from filterd.log import AddressMask, Events, get_logger
from filterd.metrics import Metrics
from filterd.pipeline import Pipeline
from filterd.ports import HeldState
from filterd.release import Releaser
from filterd.rule_desk import RuleDesk
from filterd.rule_ports import RuleOrigin
from filterd.testing import FakeScanner, FixedClock, MemoryStore, RecordingRelay, a_scan, an_envelope
from filterd.undoing import Undoing
from filterd.web.api.parts import ApiParts
from filterd.web.app import build_app
from filterd.web.auth import new_secret
from filterd.web.passwords import Passwords
from tests.filterd.web_visitor import a_checking, a_pipeline, no_models, some_actions, some_figures

RAW = b"Subject: <script>alert(1)</script>\r\nFrom: alice@example.org\r\n\r\n<html>body</html>\r\n"
HOLD = Decision(action=Action.QUARANTINE, reason=Reason.SPAM, scan=a_scan(0.97))
ID = "0" * 31 + "1"
UNKNOWN = "f" * 32
SECRETS = {scope: new_secret() for scope in Scope}


@dataclass
class Api:
    """A client, and what is behind it."""

    app: Starlette
    client: httpx2.AsyncClient
    store: MemoryStore
    relay: RecordingRelay
    metrics: Metrics
    scanner: FakeScanner
    pipeline: Pipeline

    async def call(
        self, method: str, path: str, scope: Scope | None = Scope.QUARANTINE, body: Any = None, **more: Any
    ) -> httpx2.Response:
        headers = {"authorization": f"Bearer {SECRETS[scope]}"} if scope else {}
        return await self.client.request(method, f"/api/v1{path}", headers=headers, json=body, **more)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    made = await an_api(tmp_path)
    async with made.client:
        yield made


async def an_api(tmp_path: Path) -> Api:
    """The API with a token of each scope and one held message; bundles would be under ``tmp_path``."""
    clock, store, relay = FixedClock(), MemoryStore(), RecordingRelay()
    metrics = Metrics(CollectorRegistry())
    events = Events(get_logger(), AddressMask(b"key"))
    for scope, secret in SECRETS.items():
        token = Token(name=scope.value, scopes=(scope,), created_at=datetime(2026, 1, 1, tzinfo=UTC))
        await store.add_token(token, digest(secret), "test")
    await store.hold(an_envelope("alice\udcff@example.org", "bob@example.net"), RAW, HOLD)
    releaser = Releaser(
        quarantine=store,
        ledger=store,
        inbox=store,
        relay=relay,
        stamp=lambda: Stamp(hostname="mx.example.org", release_key=b"key"),
        clock=clock,
        metrics=metrics,
        events=events,
    )
    desk = RuleDesk(store.rules, origin=RuleOrigin.API, clock=clock, events=events)
    scanner = FakeScanner()
    pipeline = a_pipeline(store, scanner, metrics)
    parts = ApiParts(
        quarantine=store,
        ledger=store,
        examples=store,
        tokens=store,
        accounts=store.accounts,
        passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)),
        reader=FakeScanner(),
        questions=store.quality,
        rules=store.rules,
        undoing=Undoing(store.deeds, lambda: Registry(tmp_path / "models", tmp_path / "packaged"), events=events),
        models=no_models(store),
        figures=some_figures(store),
        checking=a_checking(pipeline),
        review=store.review,
        bin=store.bin,
        actions=some_actions(store, desk, releaser, clock, metrics, events),
        releaser=releaser,
        clock=clock,
        metrics=metrics,
        events=events,
    )

    async def beside(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("beside")

    app = build_app(parts, None, [Route("/webhooks/x", beside)])
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://filter.local")
    return Api(app, client, store, relay, metrics, scanner, pipeline)


CALLS = [
    ("GET", "/stats", Scope.QUARANTINE, None),
    ("POST", "/feedback", Scope.FEEDBACK, {"id": ID, "label": "spam"}),
    ("GET", "/quarantine", Scope.QUARANTINE, None),
    ("GET", f"/quarantine/{ID}", Scope.QUARANTINE, None),
    ("GET", f"/quarantine/{ID}?raw=1", Scope.QUARANTINE, None),
    ("POST", f"/quarantine/{ID}/release", Scope.QUARANTINE, {"label_ham": False}),
    ("DELETE", f"/quarantine/{ID}", Scope.QUARANTINE, None),
    ("POST", f"/quarantine/{ID}/teach", Scope.QUARANTINE, None),
    ("GET", "/campaigns", Scope.QUARANTINE, None),
    ("GET", "/accounts", Scope.ADMIN, None),
    ("GET", f"/quarantine/{ID}/view", Scope.QUARANTINE, None),
    ("GET", "/verdicts", Scope.QUARANTINE, None),
    ("GET", f"/verdicts/{ID}", Scope.QUARANTINE, None),
    ("GET", "/questions", Scope.QUARANTINE, None),
    ("GET", "/rules", Scope.RULES, None),
    ("GET", "/rules/preview?scope=bob@example.net", Scope.RULES, None),
    ("GET", "/rules/preview", Scope.ADMIN, None),
    ("POST", "/rules", Scope.RULES, {"kind": "deny", "scope": "bob@example.net", "entry": "x.example"}),
    ("POST", "/rules", Scope.ADMIN, {"kind": "deny", "scope": "", "entry": "x.example"}),
    ("GET", "/events", Scope.ADMIN, None),
    ("POST", "/check", Scope.CHECK, {"channel": "sms", "text": "hi"}),
    ("POST", "/check/message-filter", Scope.CHECK, {"query": {"message": {"text": "hi"}}}),
]


@pytest.mark.parametrize(("method", "path", "scope", "body"), CALLS, ids=lambda v: str(v)[:40])
@pytest.mark.parametrize("bearer", [None, *Scope], ids=str)
async def test_only_a_token_with_the_scope_gets_in(
    api: Api, method: str, path: str, scope: Scope, body: Any, bearer: Scope | None
) -> None:
    response = await api.call(method, path, bearer, body)

    if bearer is None:
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
    elif bearer in {scope, Scope.ADMIN}:
        assert response.is_success
    else:
        assert response.status_code == 403
    if not response.is_success:
        assert api.relay.sent == []
        assert await api.store.count_held() == 1


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        f"Basic {SECRETS[Scope.ADMIN]}",
        f"Bearer {SECRETS[Scope.ADMIN]}x",
        f"Bearer {SECRETS[Scope.ADMIN][:-1]}",
        f"Bearer {new_secret()}",
        f"Bearer {digest(SECRETS[Scope.ADMIN])}",
    ],
    ids=["empty", "bare", "basic", "longer", "shorter", "unknown", "hash"],
)
async def test_wrong_tokens_are_all_answered_alike(api: Api, header: str) -> None:
    response = await api.client.get("/api/v1/quarantine", headers={"authorization": header})

    assert response.status_code == 401
    assert response.json() == {"type": "about:blank", "title": "Unauthorized", "status": 401}


@pytest.mark.parametrize(
    ("method", "path", "scope", "body", "status"),
    [
        ("GET", "/quarantine", None, None, 401),
        ("GET", "/quarantine", Scope.FEEDBACK, None, 403),
        ("GET", f"/quarantine/{UNKNOWN}", Scope.QUARANTINE, None, 404),
        ("GET", "/quarantine/..%2f..%2fetc", Scope.QUARANTINE, None, 404),
        ("GET", "/quarantine/notanid", Scope.QUARANTINE, None, 404),
        ("GET", "/quarantine/two%0Alines", Scope.QUARANTINE, None, 404),
        ("GET", f"/verdicts/{UNKNOWN}", Scope.QUARANTINE, None, 404),
        ("POST", f"/quarantine/{UNKNOWN}/release", Scope.QUARANTINE, {}, 404),
        ("DELETE", f"/quarantine/{UNKNOWN}", Scope.QUARANTINE, None, 404),
        ("POST", "/feedback", Scope.FEEDBACK, {"id": UNKNOWN, "label": "spam"}, 404),
        ("POST", "/feedback", Scope.FEEDBACK, {"id": ID, "label": "eggs"}, 422),
        ("POST", "/feedback", Scope.FEEDBACK, {"id": ID, "label": "spam", "extra": 1}, 422),
        ("POST", "/feedback", Scope.FEEDBACK, ["x"], 422),
        ("GET", "/quarantine?limit=0", Scope.QUARANTINE, None, 422),
        ("GET", "/nothing", Scope.ADMIN, None, 404),
        ("PUT", "/quarantine", Scope.ADMIN, None, 405),
        ("POST", "/feedback", Scope.FEEDBACK, {"id": "x" * 70_000, "label": "spam"}, 413),
    ],
)
async def test_every_refusal_is_a_problem_that_is_not_kept(
    api: Api, method: str, path: str, scope: Scope | None, body: Any, status: int
) -> None:
    response = await api.call(method, path, scope, body)

    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert set(response.json()) - {"detail"} == {"type", "title", "status"}
    assert "eggs" not in response.text


@pytest.mark.parametrize("name", [b"\\ud800", b"\\u0000"])
async def test_field_whose_name_is_no_text_is_refused_as_any_other(api: Api, name: bytes) -> None:
    headers = {"authorization": f"Bearer {SECRETS[Scope.FEEDBACK]}", "content-type": "application/json"}
    content = b'{"id": "x", "label": "spam", "%s": 1}' % name
    response = await api.client.post("/api/v1/feedback", headers=headers, content=content)

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"


async def test_next_hop_s_words_that_are_no_text_are_answered(api: Api) -> None:
    api.relay.reply = Reply(code=550, lines=("Kein Empf\udce4nger",))

    response = await api.call("POST", f"/quarantine/{ID}/release")

    assert (response.status_code, response.json()["detail"]) == (502, "the next hop said: 550 Kein Empf?nger")


async def test_body_that_only_shows_its_size_while_it_streams_is_refused(api: Api) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1_000

    headers = {"authorization": f"Bearer {SECRETS[Scope.FEEDBACK]}", "content-type": "application/json"}
    response = await api.client.post("/api/v1/feedback", headers=headers, content=chunks())

    assert response.status_code == 413


@pytest.mark.parametrize("failure", [StoreUnavailable("db secret-host down"), StoreFull("secret-disk full")])
@pytest.mark.parametrize(("method", "path", "scope", "body"), CALLS, ids=lambda v: str(v)[:40])
async def test_store_that_is_down_is_503_and_says_nothing_of_it(
    api: Api, method: str, path: str, scope: Scope, body: Any, failure: Exception
) -> None:
    api.store.failure = failure
    response = await api.call(method, path, scope, body)

    assert response.status_code == 503
    assert "retry-after" in response.headers
    assert "secret" not in response.text


# Feedback


async def test_label_is_created_once_and_stands(api: Api) -> None:
    first = await api.call("POST", "/feedback", Scope.FEEDBACK, {"id": ID, "label": "spam"})
    again = await api.call("POST", "/feedback", Scope.FEEDBACK, {"id": ID, "label": "spam"})
    other = await api.call("POST", "/feedback", Scope.FEEDBACK, {"id": ID, "label": "ham"})

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 201)
    assert first.json() == {"id": ID, "label": "spam", "new": True}
    assert [(f.reporter, f.origin) for f in api.store.ledger.standing()] == [("feedback", "api")]
    assert api.metrics.feedback.labels("spam")._value.get() == 1


# Quarantine


async def test_list_pages_from_the_newest(api: Api) -> None:
    for n in range(2, 6):
        await api.store.hold(an_envelope(id=f"{n:032x}"), b"%d" % n, HOLD)

    seen: list[str] = []
    before: str | None = None
    for _ in range(3):
        page = (await api.call("GET", f"/quarantine?limit=2{f'&before={before}' if before else ''}")).json()
        seen += [message["id"] for message in page["messages"]]
        before = page["next"]

    assert seen == [f"{n:032x}" for n in (5, 4, 3, 2, 1)]
    assert before is None


async def test_list_is_searched(api: Api) -> None:
    found = (await api.call("GET", "/quarantine?query=ALICE&channel=email")).json()["messages"]
    none = (await api.call("GET", "/quarantine?channel=sms")).json()["messages"]

    assert [message["sender"] for message in found] == ["alice?@example.org"]
    assert none == []


async def test_message_is_shown_with_its_header_and_without_its_body(api: Api) -> None:
    response = await api.call("GET", f"/quarantine/{ID}")

    assert response.headers["content-type"] == "application/json"
    assert response.json()["headers"].startswith("Subject: <script>")
    assert "html" not in response.json()["headers"]
    assert response.json()["reason"] == "spam"


async def test_raw_message_is_a_download_nothing_renders(api: Api) -> None:
    response = await api.call("GET", f"/quarantine/{ID}?raw=1")

    assert response.content == RAW
    assert response.headers["content-type"] == "message/rfc822"
    assert response.headers["content-disposition"] == f'attachment; filename="{ID}.eml"'
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"] == "default-src 'none'; sandbox"


async def test_raw_sms_is_octets(api: Api) -> None:
    await api.store.hold(an_envelope("+1", "+2", id=f"{2:032x}", channel=Channel.SMS), b"<b>", HOLD)
    response = await api.call("GET", f"/quarantine/{2:032x}?raw=1")

    assert (response.headers["content-type"], response.content) == ("application/octet-stream", b"<b>")


@pytest.mark.parametrize("body", [None, {}, {"label_ham": True}], ids=["none", "empty", "ham"])
async def test_message_is_released_by_the_token_s_name(api: Api, body: Any) -> None:
    response = await api.call("POST", f"/quarantine/{ID}/release", body=body)

    assert response.json() == {"id": ID, "delivered": True, "reply": "250 2.0.0 Ok: queued"}
    assert len(api.relay.sent) == 1
    assert [f.reporter for f in api.store.ledger.standing()] == (
        ["quarantine"] if body and body.get("label_ham") else []
    )


async def test_second_release_is_a_conflict(api: Api) -> None:
    await api.call("POST", f"/quarantine/{ID}/release")

    assert (await api.call("POST", f"/quarantine/{ID}/release")).status_code == 409
    assert len(api.relay.sent) == 1


async def test_refused_release_says_what_the_next_hop_said(api: Api) -> None:
    api.relay.reply = Reply(code=550, enhanced="5.1.1", lines=("No such user",))
    response = await api.call("POST", f"/quarantine/{ID}/release")

    assert response.status_code == 502
    assert response.json()["detail"] == "the next hop said: 550 5.1.1 No such user"
    assert (await api.store.held(MessageId(ID))).summary.state is HeldState.HELD


async def test_deleted_message_is_gone(api: Api) -> None:
    response = await api.call("DELETE", f"/quarantine/{ID}")

    assert (response.status_code, response.content) == (204, b"")
    assert (await api.call("GET", f"/quarantine/{ID}")).status_code == 404
    assert (await api.call("DELETE", f"/quarantine/{ID}")).status_code == 409


async def test_reading_changes_nothing(api: Api) -> None:
    """What a link scanner may do: GET every path, also those that only other methods act on."""
    for path in (f"/quarantine/{ID}", f"/quarantine/{ID}/release", "/feedback", f"/quarantine/{ID}?raw=1"):
        await api.call("GET", path)

    assert await api.store.count_held() == 1
    assert api.relay.sent == []


async def test_explanation_adds_up_and_names_what_was_reported_like_it(api: Api) -> None:
    message = an_envelope(id=MessageId("2" * 32))
    evidence = (Evidence(token="prize\udcff", weight=1.5), Evidence(token="agenda", weight=-0.25))
    scan = replace(a_scan(0.97), logit=3.0, correction=0.5, evidence=evidence, fingerprint="f" * 64)
    decision = replace(HOLD, scan=scan, threshold=0.9)
    held = Outcome(kind=OutcomeKind.HELD, reply=Reply(code=250))
    await api.store.record(Verdict.of(message, 10, decision, held, {}))
    await api.call("POST", "/feedback", Scope.ADMIN, {"id": message.id, "label": "spam"})

    answer = (await api.call("GET", f"/verdicts/{message.id}/explanation")).json()

    (verdict,) = answer["verdicts"]
    assert verdict["parts"][0] == {"token": "prize?", "weight": 1.5}
    assert verdict["total"] == 3.5
    assert abs(sum(part["weight"] for part in verdict["parts"]) - 3.5) < 1e-9
    assert (verdict["probability"], verdict["threshold"]) == (0.97, 0.9)
    assert [(found["message"], found["label"], found["distance"]) for found in verdict["similar"]] == [
        (message.id, "spam", 0)
    ]


async def test_explanation_of_an_unscored_message_has_no_sum(api: Api) -> None:
    message = an_envelope(id=MessageId("2" * 32))
    decision = Decision(action=Action.ACCEPT, reason=Reason.ALLOWED, detail="example.org")
    await api.store.record(
        Verdict.of(message, 10, decision, Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250)), {})
    )

    (verdict,) = (await api.call("GET", f"/verdicts/{message.id}/explanation")).json()["verdicts"]

    assert (verdict["parts"], verdict["total"], verdict["detail"]) == ([], None, "example.org")
    assert (await api.call("GET", f"/verdicts/{UNKNOWN}/explanation")).status_code == 404
    assert (await api.call("GET", f"/verdicts/{message.id}/explanation", Scope.FEEDBACK)).status_code == 403


async def test_verdicts_are_shown(api: Api) -> None:
    (verdict,) = (await api.call("GET", f"/verdicts/{ID}")).json()["verdicts"]

    assert (verdict["action"], verdict["outcome"], verdict["probability"]) == ("quarantine", "held", 0.97)


async def test_questions_are_the_messages_that_help_most_until_they_are_answered(api: Api) -> None:
    scan = replace(a_scan(0.6), evidence=(Evidence(token="prize\udcff", weight=1.5),))
    near = Decision(action=Action.TAG, reason=Reason.SPAM, threshold=0.6, scan=scan)
    far = replace(near, scan=a_scan(0.999))
    relayed = Outcome(kind=OutcomeKind.RELAYED, reply=Reply(code=250))
    for n, decision in ((2, far), (3, near)):
        await api.store.record(Verdict.of(an_envelope(id=f"{n:032x}"), 1, decision, relayed, {}))

    async def asked(limit: int) -> list[dict[str, Any]]:
        response = await api.call("GET", "/questions", params={"limit": limit})
        return response.json()["questions"]  # type: ignore[no-any-return]

    assert [(question["id"][-1], question["why"]) for question in await asked(5)] == [
        ("3", "threshold"),
        ("2", "threshold"),
    ]
    (first,) = await asked(1)
    assert first["words"] == ["prize?"]
    await api.call("POST", "/feedback", Scope.FEEDBACK, {"id": first["id"], "label": "ham"})
    assert [question["id"][-1] for question in await asked(5)] == ["2"]
    assert (await api.call("GET", "/questions", params={"limit": 51})).status_code == 422


async def test_other_routes_are_served_beside_it_untouched(api: Api) -> None:
    response = await api.client.get("/webhooks/x")

    assert (response.text, "cache-control" in response.headers) == ("beside", False)


async def test_api_describes_itself(api: Api) -> None:
    paths = (await api.client.get("/api/v1/openapi.json")).json()["paths"]

    assert set(paths) == {
        "/check",
        "/check/message-filter",
        "/feedback",
        "/feedback/revoke",
        "/quarantine",
        "/quarantine/{id}",
        "/quarantine/{id}/release",
        "/quarantine/{id}/{verb}",
        "/quarantine/{id}/view",
        "/campaigns",
        "/accounts",
        "/accounts/{name}",
        "/verdicts",
        "/verdicts/{id}",
        "/verdicts/{id}/explanation",
        "/questions",
        "/rules",
        "/rules/{id}",
        "/rules/preview",
        "/events",
        "/undo",
        "/stats",
        "/models",
        "/models/{channel}/{id}",
        "/models/{channel}/promote",
        "/models/{channel}/rollback",
        "/models/{channel}/trial",
        "/models/{channel}/trial/disagreements",
    }


FILE_NAMES = (
    "/etc/hostname",
    "../../etc/passwd",
    "file:///etc/hostname",
    "..%2f..%2fetc%2fpasswd",
    "NUL",
    "con",
    "\\\\x\\y",
)


@pytest.mark.parametrize("name", FILE_NAMES)
async def test_d14_no_field_query_or_path_is_opened_as_a_file(api: Api, name: str) -> None:
    calls = [
        ("GET", f"/quarantine/{name}", None),
        ("GET", f"/verdicts/{name}", None),
        ("POST", f"/quarantine/{name}/release", {"label_ham": False}),
        ("POST", "/feedback", {"id": name, "label": "spam"}),
        ("POST", "/feedback", {"id": ID, "label": "spam", "file": name}),
    ]
    opened: list[str] = []
    watching = True
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if watching and event == "open" else None)
    for query in ({"before": name}, {"query": name}, {"channel": name}, {"raw": name}, {"file": name}):
        await api.call("GET", "/quarantine", params=query)
        await api.call("GET", f"/quarantine/{ID}", params=query)
    for method, path, body in calls:
        await api.call(method, path, Scope.ADMIN, body)
    watching = False

    # FastAPI reads its own source the first time an endpoint goes wrong.
    assert [path for path in opened if not path.endswith(".py")] == []

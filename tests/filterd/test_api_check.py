"""Messages judged over the API: what is answered, for whom, and that nothing is left of them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from filterd.account_ports import Scope
from filterd.checking import MOST_AT_ONCE, Checking
from filterd.core.envelope import Channel, Envelope
from filterd.core.parts import Judged
from filterd.core.policy import Policy, Rule, SenderList
from filterd.core.policy import Scope as PolicyScope
from filterd.core.verdict import Action, Decision, Evidence, Reason, Scan
from filterd.errors import MessageTooLarge, Overloaded, ScanDown, Unscannable
from filterd.testing import FakeScanner, FixedClock, a_scan, an_envelope
from filterd.web.api import check
from tests.filterd.test_api import SECRETS, Api, api

__all__ = ["api"]

SPAM = b"Subject: win\r\n\r\nSPAM\r\n"
SMS = {"channel": "sms", "text": "SPAM"}


def _filter(text: str, sender: str = "14085550001") -> dict[str, Any]:
    """The body that Apple documents for deferQueryRequestToNetwork."""
    return {"_version": 1, "query": {"sender": sender, "message": {"text": text}}, "app": {"version": "1.1"}}


async def _send(api: Api, kind: str, content: bytes, **query: str) -> Any:
    headers = {"authorization": f"Bearer {SECRETS[Scope.CHECK]}", "content-type": kind}
    return await api.client.post("/api/v1/check", params=query, headers=headers, content=content)


async def test_message_is_judged_with_all_that_decided(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = replace(a_scan(0.99), evidence=(Evidence(token="prize\udcff", weight=1.5),), signals=("hidden_text",))

    async def found(_envelope: Envelope, _raw: bytes) -> Scan:
        return scan

    monkeypatch.setattr(api.scanner, "scan", found)
    response = await api.call("POST", "/check", Scope.CHECK, SMS)

    assert response.json() == {
        "channel": "sms",
        "action": "quarantine",
        "reason": "spam",
        "detail": "lenient",
        "probability": 0.99,
        "threshold": 0.9,
        "model": "test-model",
        "words": [{"token": "prize?", "weight": 1.5}],
        "signals": ["hidden_text"],
    }


@pytest.mark.parametrize(
    ("kind", "content", "query", "channel"),
    [
        ("message/rfc822", SPAM, {}, "email"),
        ("message/rfc822; charset=binary", SPAM, {"channel": "email"}, "email"),
        ("text/plain", b"SPAM \xff", {}, "sms"),
        ("text/plain; charset=utf-8", b"SPAM", {"channel": "email"}, "email"),
    ],
)
async def test_body_may_be_the_message_itself(
    api: Api, kind: str, content: bytes, query: dict[str, str], channel: str
) -> None:
    response = await _send(api, kind, content, **query)

    assert (response.status_code, response.json()["channel"]) == (200, channel)
    assert response.json()["action"] == "quarantine"


async def test_raw_message_comes_in_base64(api: Api) -> None:
    body = {"channel": "email", "raw": base64.b64encode(SPAM).decode()}

    assert (await api.call("POST", "/check", Scope.CHECK, body)).json()["action"] == "quarantine"
    assert (await api.call("POST", "/check", Scope.CHECK, body | {"raw": ""})).json()["action"] == "accept"


async def test_text_of_a_mail_is_read_as_its_body(api: Api) -> None:
    seen: list[bytes] = []

    async def judge(envelope: Envelope, raw: bytes) -> Sequence[Judged]:
        seen.append(raw)
        return [Judged(envelope=envelope, decision=Decision(action=Action.ACCEPT, reason=Reason.HAM))]

    checking = Checking(judge, clock=FixedClock(), most_bytes=1_000)
    asked = check.CheckIn(channel=Channel.EMAIL, text="Subject: grüße").asked
    await checking.check(asked.channel, asked.raw, "", "")

    header, _, body = seen[0].partition(b"\r\n\r\n")
    assert b"Subject" not in header
    assert body == "Subject: grüße".encode()


async def test_rules_of_sender_and_recipient_count(api: Api) -> None:
    own = PolicyScope(allow=SenderList.of(("eve@example.org",)), rule=Rule())
    policy = Policy(overrides=MappingProxyType({"ann@example.net": own}))
    api.pipeline.settings = replace(api.pipeline.settings, policies=MappingProxyType(dict.fromkeys(Channel, policy)))
    body = SMS | {"sender": "eve@example.org"}

    allowed = await api.call("POST", "/check", Scope.CHECK, body | {"recipient": "ann@example.net"})
    judged = await api.call("POST", "/check", Scope.CHECK, body)

    assert (allowed.json()["action"], allowed.json()["detail"]) == ("accept", "eve@example.org")
    assert judged.json()["action"] == "quarantine"


async def test_nothing_is_left_of_a_message_that_was_only_asked_about(api: Api) -> None:
    """No verdict, no held message, no delivery; and whatever else judging leaves is left by messages with an id."""
    before = len(await api.store.recent())

    for path, body in (("/check", SMS), ("/check/message-filter", _filter("SPAM"))):
        assert (await api.call("POST", path, Scope.CHECK, body)).status_code == 200

    assert len(await api.store.recent()) == before
    assert await api.store.count_held() == 1
    assert api.relay.sent == []
    assert set(api.scanner.seen) == {""}


@pytest.mark.parametrize("failure", [ScanDown("no scanner"), Overloaded("queue")])
@pytest.mark.parametrize(("path", "body"), [("/check", SMS), ("/check/message-filter", _filter("SPAM"))])
async def test_scanners_that_are_down_are_503(api: Api, failure: Exception, path: str, body: Any) -> None:
    api.scanner.failure = failure
    response = await api.call("POST", path, Scope.CHECK, body)

    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert response.headers["content-type"] == "application/problem+json"


async def test_message_that_breaks_a_scanner_is_answered_as_policy_says(api: Api) -> None:
    api.scanner.failure = Unscannable("too deep")
    found = (await api.call("POST", "/check", Scope.CHECK, SMS)).json()
    filtered = (await api.call("POST", "/check/message-filter", Scope.CHECK, _filter("SPAM"))).json()

    assert (found["reason"], found["probability"], found["words"]) == ("unscannable", None, [])
    assert filtered == {"action": "none"}


@pytest.mark.parametrize(
    "change",
    [
        {"text": "x", "raw": ""},
        {"channel": "fax", "text": "x"},
        {"channel": "sms"},
        {"channel": "email", "raw": "a"},
        {"channel": "email", "raw": "****"},
        {"channel": "sms", "text": "x", "sender": "x" * 321},
        {"channel": "sms", "text": "x", "peer": "192.0.2.1"},
        ["x"],
    ],
)
async def test_json_that_is_no_question_is_422(api: Api, change: Any) -> None:
    response = await api.call("POST", "/check", Scope.CHECK, change)

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b'{"channel": "sms", "text": "\\ud800"}'])
async def test_bytes_that_are_no_json_are_422(api: Api, content: bytes) -> None:
    assert (await _send(api, "application/json", content)).status_code == 422


async def test_other_media_types_are_415(api: Api) -> None:
    assert (await _send(api, "image/png", b"x")).status_code == 415


@pytest.mark.parametrize(
    ("size", "status"), [(100_000, 200), (100_001, 413), (300_000, 413)], ids=["largest", "larger", "streamed"]
)
async def test_message_may_be_as_large_as_one_by_smtp(api: Api, size: int, status: int) -> None:
    assert (await _send(api, "message/rfc822", b"x" * size)).status_code == status
    assert (
        await api.call(
            "POST", "/check", Scope.CHECK, {"channel": "email", "raw": base64.b64encode(b"x" * size).decode()}
        )
    ).status_code == status


async def test_filter_takes_no_more_than_the_other_routes(api: Api) -> None:
    assert (await api.call("POST", "/check/message-filter", Scope.CHECK, _filter("x" * 70_000))).status_code == 413


async def test_large_body_of_a_stranger_is_not_read(api: Api) -> None:
    read = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield b"x" * 1_000

    receive = chunks()

    async def next_chunk() -> dict[str, Any]:
        return {"type": "http.request", "body": await anext(receive), "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/check",
        "raw_path": b"/api/v1/check",
        "query_string": b"",
        "headers": [(b"content-type", b"message/rfc822")],
        "scheme": "http",
        "http_version": "1.1",
        "server": ("x", 80),
        "client": ("x", 1),
        "root_path": "",
    }
    await api.app(scope, next_chunk, send)

    assert sent[0]["status"] == 401
    assert read == 0


async def test_body_that_does_not_arrive_is_408_and_gives_its_place_back(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "READ_SECONDS", 0.01)

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    headers = {"authorization": f"Bearer {SECRETS[Scope.CHECK]}", "content-type": "message/rfc822"}
    for _ in range(MOST_AT_ONCE + 1):
        response = await api.client.post("/api/v1/check", headers=headers, content=never())
        assert response.status_code == 408


async def test_more_than_a_few_at_once_are_told_to_come_again() -> None:
    checking = Checking(FakeScanner().scan, clock=FixedClock(), most_bytes=1)  # type: ignore[arg-type]  # not called

    places = [checking.place() for _ in range(MOST_AT_ONCE)]
    for place in places:
        place.__enter__()

    with pytest.raises(Overloaded), checking.place():
        pass
    places[0].__exit__(None, None, None)
    with checking.place():
        pass
    with pytest.raises(MessageTooLarge):
        await checking.check(Channel.SMS, b"xx", "", "")


@pytest.mark.parametrize(("text", "action"), [("SPAM", "junk"), ("At noon?", "allow")])
async def test_filter_extension_of_a_phone_is_answered_in_its_words(api: Api, text: str, action: str) -> None:
    response = await api.call("POST", "/check/message-filter", Scope.CHECK, _filter(text))

    assert response.json() == {"action": action}


async def test_filter_extension_is_told_of_lists(api: Api) -> None:
    everybody = PolicyScope(deny=SenderList.of(("14085550001",)), rule=Rule())
    policy = Policy(default=everybody)
    api.pipeline.settings = replace(api.pipeline.settings, policies=MappingProxyType(dict.fromkeys(Channel, policy)))

    assert (await api.call("POST", "/check/message-filter", Scope.CHECK, _filter("hi"))).json() == {"action": "junk"}


@pytest.mark.parametrize("body", [{}, {"query": {}}, {"query": {"sender": "1", "message": {"text": 5}}}])
async def test_filter_request_without_a_text_is_422(api: Api, body: Any) -> None:
    assert (await api.call("POST", "/check/message-filter", Scope.CHECK, body)).status_code == 422


async def test_checks_are_not_taken_for_the_right_to_take_back(api: Api) -> None:
    assert (await api.call("POST", "/undo", Scope.CHECK, {"sender_domain": "example.org"})).status_code == 403


def test_envelope_without_an_id_is_a_rehearsal() -> None:
    assert an_envelope(id="").is_rehearsal
    assert not an_envelope().is_rehearsal

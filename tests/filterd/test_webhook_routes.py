"""The HTTP side of the webhooks: sizes, encodings, deadlines, methods, and what never comes from the Host header.

Threats D1, D2 and D5 of docs/threats.md.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from filterd.demo.webhook_client import signed_request
from filterd.edges.webhooks import routes as routes_module
from filterd.edges.webhooks.adapter import Adapter, WebhookReply
from filterd.edges.webhooks.providers import adapters_of
from filterd.edges.webhooks.receive import Webhooks
from filterd.edges.webhooks.request import WebhookRequest
from filterd.edges.webhooks.routes import routes
from filterd.sms_settings import SmsSettings

BASE = "https://sms.example.com:8443/gateway/"
TOKEN = "0123456789abcdef0123456789abcdef"
WHSEC = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, exact").decode()
SETTINGS = SmsSettings.model_validate(
    {
        "public_base_url": BASE,
        "max_body_bytes": 2_000,
        "twilio": {"auth_token": TOKEN},
        "vonage": {"signature_secret": TOKEN},
        "generic": {"secret": WHSEC},
    }
)


class RecordingWebhooks(Webhooks):
    """Keeps the calls it is given and accepts them, if the adapter does."""

    def __init__(self) -> None:
        self._adapters = adapters_of(SETTINGS)
        self.calls: list[WebhookRequest] = []
        self.unread: list[str] = []

    def note_unread(self, adapter: Adapter, why: str) -> None:
        self.unread.append(why)

    async def receive(self, adapter: Adapter, request: WebhookRequest, deadline: float) -> WebhookReply:
        self.calls.append(request)
        adapter.verify(request, datetime.now(UTC))
        return adapter.reply(is_ham=False)


@pytest.fixture
def webhooks() -> RecordingWebhooks:
    return RecordingWebhooks()


@pytest.fixture
async def client(webhooks: RecordingWebhooks) -> AsyncIterator[httpx2.AsyncClient]:
    app = Starlette(routes=routes(SETTINGS, webhooks))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://gw.local") as client:
        yield client


def a_call(provider: str, text: str = "see you at noon") -> tuple[str, dict[str, str], bytes]:
    secret = {"twilio": TOKEN, "vonage": TOKEN, "generic": WHSEC}[provider]
    made = signed_request(
        provider,
        base_url=BASE,
        secret=secret,
        id="1",
        sender="+1",
        recipient="+2",
        text=text,
        now=datetime.now(UTC),
    )
    return f"/webhooks/{provider}", dict(made.headers), made.body


async def test_post_when_the_call_is_genuine_then_the_provider_gets_its_own_kind_of_answer(
    client: httpx2.AsyncClient,
) -> None:
    url, headers, body = a_call("twilio")

    answer = await client.post(url, headers=headers, content=body)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "gw.local", "x-forwarded-host": "evil.example", "x-forwarded-proto": "http"},
        {"host": "gw.local@evil.example"},
        {"host": "gw.local", "forwarded": "host=evil.example", "x-original-url": "/evil"},
    ],
)
async def test_d2_post_when_host_headers_lie_then_the_configured_url_is_what_counts(
    client: httpx2.AsyncClient, webhooks: RecordingWebhooks, headers: Mapping[str, str]
) -> None:
    url, signed, body = a_call("twilio")

    answer = await client.post(url, headers={**signed, **headers}, content=body)

    assert answer.status_code == 200
    assert webhooks.calls[0].url == "https://sms.example.com:8443/gateway/webhooks/twilio"


async def test_get_when_vonage_then_the_raw_query_is_part_of_the_url(
    client: httpx2.AsyncClient, webhooks: RecordingWebhooks
) -> None:
    _, _, body = a_call("vonage")

    answer = await client.get("/webhooks/vonage?" + body.decode())

    assert answer.status_code == 200
    assert webhooks.calls[0].query == body.decode()
    assert webhooks.calls[0].url.endswith("/webhooks/vonage?" + body.decode())


@pytest.mark.parametrize("path", ["/webhooks/plivo", "/webhooks/telnyx", "/webhooks/unknown", "/webhooks/Twilio"])
async def test_post_when_the_provider_is_off_or_unknown_then_404_and_the_same_text(
    client: httpx2.AsyncClient, path: str
) -> None:
    answer = await client.post(path, content=b"x")

    assert (answer.status_code, answer.content) == (404, b"not found\n")


async def test_get_when_the_provider_only_posts_then_405(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/webhooks/twilio")).status_code == 405


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip"])
async def test_d5_post_when_the_body_is_compressed_then_415(
    client: httpx2.AsyncClient, webhooks: RecordingWebhooks, encoding: str
) -> None:
    url, headers, body = a_call("generic")

    answer = await client.post(url, headers={**headers, "content-encoding": encoding}, content=body)

    assert answer.status_code == 415
    assert webhooks.unread == ["HTTP 415"]


async def test_d5_post_when_the_body_is_at_the_limit_then_it_is_read_and_one_byte_more_is_413(
    client: httpx2.AsyncClient,
) -> None:
    url, _, body = a_call("generic")
    room = SETTINGS.max_body_bytes - len(body)
    _, at_limit, body_at_limit = a_call("generic", "see you at noon" + "x" * room)
    _, over, body_over = a_call("generic", "see you at noon" + "x" * (room + 1))

    assert len(body_at_limit) == SETTINGS.max_body_bytes
    assert (await client.post(url, headers=at_limit, content=body_at_limit)).status_code == 200
    assert (await client.post(url, headers=over, content=body_over)).status_code == 413


async def test_d5_post_when_a_chunked_body_grows_over_the_limit_then_413_and_it_is_not_looked_at(
    client: httpx2.AsyncClient, webhooks: RecordingWebhooks
) -> None:
    async def body() -> AsyncIterator[bytes]:  # httpx2 wants it asynchronous
        for _ in range(1_000):
            yield b"x" * 100

    answer = await client.post("/webhooks/generic", content=body())

    assert answer.status_code == 413
    assert webhooks.calls == []


async def status_of_raw(webhooks: Webhooks, *messages: dict[str, object]) -> object:
    """The status the application answers to a POST of these ASGI messages and then silence."""
    pending = iter(messages)
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        for message in pending:
            return message
        return await asyncio.Future()

    async def send(message: dict[str, object]) -> None:  # ASGI is asynchronous
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/webhooks/generic",
        "root_path": "",
        "query_string": b"",
        "headers": [],
    }
    await Starlette(routes=routes(SETTINGS, webhooks))(scope, receive, send)  # type: ignore[arg-type]  # plain dicts
    return sent[0]["status"]


async def test_d5_post_when_the_body_drips_then_408_at_the_deadline(
    webhooks: RecordingWebhooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes_module, "DEADLINE_SECONDS", 0.05)

    assert await status_of_raw(webhooks, {"type": "http.request", "body": b"x", "more_body": True}) == 408
    assert webhooks.calls == []


async def test_d5_post_when_the_client_goes_away_then_nothing_is_received(webhooks: RecordingWebhooks) -> None:
    assert await status_of_raw(webhooks, {"type": "http.disconnect"}) == 408
    assert webhooks.calls == []

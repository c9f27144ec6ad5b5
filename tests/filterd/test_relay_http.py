"""Calling a customer's URL: what counts as delivered, and where filterd never connects to (threat D6)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import pytest
import trustme
from twilio.request_validator import RequestValidator

from filterd.errors import RelayUnavailable
from filterd.ports import ForwardRequest
from filterd.relay.http import HttpForwarder
from tests.filterd.webhook_line import TOKEN, Line

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass
class Sink:
    """A customer's URL: reads one request per connection and answers ``answer``."""

    answer: bytes = OK
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0
    is_stuck: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in?tenant=7"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.requests.append((head[0], headers, body))
        if self.is_stuck:
            await reader.read()
        writer.write(self.answer)
        writer.close()


@asynccontextmanager
async def listening(sink: Sink, tls: ssl.SSLContext | None = None) -> AsyncIterator[Sink]:
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0, ssl=tls)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with listening(Sink()) as sink:
        yield sink


@pytest.fixture
async def forwarder() -> AsyncIterator[HttpForwarder]:
    async with HttpForwarder(timeout_seconds=5.0, user_agent="filterd/test") as forwarder:
        yield forwarder


def a_request(url: str, body: bytes = b"a=%2B1&b=\xff") -> ForwardRequest:
    headers = (("content-type", "application/x-www-form-urlencoded"), ("x-filterd-id", "1"))
    return ForwardRequest(method="POST", url=url, headers=headers, body=body)


async def test_forward_when_the_url_answers_2xx_then_it_got_every_byte(sink: Sink, forwarder: HttpForwarder) -> None:
    await forwarder.forward(a_request(sink.url))

    ((line, headers, body),) = sink.requests
    assert line == "POST /in?tenant=7 HTTP/1.1"
    assert body == b"a=%2B1&b=\xff"
    assert (headers["content-type"], headers["x-filterd-id"]) == ("application/x-www-form-urlencoded", "1")
    assert headers["user-agent"] == "filterd/test"


async def test_forward_when_a_header_is_not_ascii_then_it_goes_out_as_it_came(
    sink: Sink, forwarder: HttpForwarder
) -> None:
    request = ForwardRequest(method="POST", url=sink.url, headers=(("content-type", "text/\xe9"),), body=b"x")

    await forwarder.forward(request)

    assert sink.requests[0][1]["content-type"] == "text/\xe9"


@pytest.mark.parametrize("status", ["199 Odd", "300 Choices", "400 Bad", "403 No", "404 No", "410 Gone", "500 Oops"])
async def test_forward_when_the_url_answers_anything_else_then_it_is_not_delivered(
    sink: Sink, forwarder: HttpForwarder, status: str
) -> None:
    sink.answer = f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode()

    with pytest.raises(RelayUnavailable):
        await forwarder.forward(a_request(sink.url))


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_d6_forward_when_the_url_redirects_then_nobody_else_is_called(
    sink: Sink, forwarder: HttpForwarder, code: int
) -> None:
    async with listening(Sink()) as inner:
        sink.answer = f"HTTP/1.1 {code} x\r\nlocation: {inner.url}\r\ncontent-length: 0\r\n\r\n".encode()

        with pytest.raises(RelayUnavailable, match=str(code)):
            await forwarder.forward(a_request(sink.url))

        assert inner.requests == []


async def test_d6_forward_when_the_environment_names_a_proxy_then_it_is_ignored(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(Sink()) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with HttpForwarder(timeout_seconds=5.0, user_agent="x") as forwarder:
            await forwarder.forward(a_request(sink.url))

        assert proxy.requests == []
    assert len(sink.requests) == 1


async def test_d6_forward_when_a_message_names_urls_then_only_the_configured_one_is_called(
    sink: Sink, forwarder: HttpForwarder
) -> None:
    """Media and links in a message are never fetched."""
    async with listening(Sink()) as bait:
        line = Line({"generic": {"deliver_url": sink.url}})
        line.outbox._forwarder = forwarder
        await line.call(line.sms_call("generic", f"look at {bait.url}"))

        await line.work_all()

        assert bait.requests == []
    assert len(sink.requests) == 1


HOSTS = (
    *("127.0.0.1", "127.1", "0", "0x7f000001", "2130706433", "017700000001", "0.0.0.0", "localhost", "localhost."),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:169.254.169.254]", "[fd00::1]"),
    *("169.254.169.254", "metadata.google.internal", "10.0.0.1", "192.168.0.1", "172.16.0.1", "127.0.0.1.nip.example"),
)
URLS = (
    *(f"http://{host}:{{port}}/" for host in HOSTS),
    *(f"http://user@{host}:{{port}}/x" for host in HOSTS),
    *(f"https://{host}:{{port}}/media/ME1" for host in HOSTS),
    *(
        "file:///etc/hostname",
        "gopher://127.0.0.1:{port}/_x",
        "ftp://127.0.0.1:{port}/",
        "unix:/run/x",
        "//127.0.0.1:{port}",
    ),
)
"""What a server that fetches what it is told to would be told; 68 of them."""


@pytest.mark.parametrize("name", ["twilio", "generic"])
async def test_d6_call_when_it_is_full_of_urls_then_the_only_connection_is_the_customers(
    sink: Sink, forwarder: HttpForwarder, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every way out is watched: names looked up, connections made."""
    loop = asyncio.get_running_loop()
    looked_up: list[tuple[str, int]] = []
    lookup = loop.getaddrinfo

    async def watched(host: str, port: int, **options: Any) -> Any:
        looked_up.append((host, port))
        return await lookup(host, port, **options)

    monkeypatch.setattr(loop, "getaddrinfo", watched)
    connected: list[object] = []
    connect = loop.sock_connect

    async def seen(sock: socket.socket, address: Any) -> None:
        connected.append(address)
        await connect(sock, address)

    monkeypatch.setattr(loop, "sock_connect", seen)
    async with listening(Sink()) as bait:
        line = Line({name: {"deliver_url": sink.url}})
        line.outbox._forwarder = forwarder
        for number, url in enumerate(URLS):
            await line.call(line.sms_call(name, f"see {url.format(port=bait.port)} now", id=f"id-{number}"))
        await line.work_all()

        assert bait.requests == []
    assert len(sink.requests) == len(URLS)
    assert set(connected) <= {("127.0.0.1", sink.port)}
    assert {port for _, port in looked_up} <= {sink.port}
    assert connected


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100_000]
)
async def test_forward_when_the_answer_is_not_http_then_it_is_not_delivered(
    sink: Sink, forwarder: HttpForwarder, answer: bytes
) -> None:
    sink.answer = answer

    with pytest.raises(RelayUnavailable):
        await forwarder.forward(a_request(sink.url))


async def test_forward_when_the_answer_never_ends_then_its_status_is_enough(
    sink: Sink, forwarder: HttpForwarder
) -> None:
    sink.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n" + b"x" * 1_000

    await forwarder.forward(a_request(sink.url))


async def test_forward_when_the_url_is_silent_then_it_gives_up_in_time(sink: Sink) -> None:
    sink.is_stuck = True
    async with HttpForwarder(timeout_seconds=0.1, user_agent="x") as forwarder:
        with pytest.raises(RelayUnavailable, match="Timeout"):
            await forwarder.forward(a_request(sink.url))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://[::1", "ftp://127.0.0.1/", "/x"])
async def test_forward_when_the_url_cannot_be_reached_then_it_is_not_delivered(
    forwarder: HttpForwarder, url: str
) -> None:
    with pytest.raises(RelayUnavailable):
        await forwarder.forward(a_request(url))


async def test_forward_when_the_certificate_is_not_trusted_then_nothing_is_sent(forwarder: HttpForwarder) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    async with listening(Sink(), context) as sink:
        with pytest.raises(RelayUnavailable):
            await forwarder.forward(a_request(sink.url.replace("http:", "https:")))

        assert sink.requests == []


async def test_forward_when_twilio_ham_reaches_the_customer_then_the_sdk_accepts_it_there(
    sink: Sink, forwarder: HttpForwarder
) -> None:
    line = Line({"twilio": {"deliver_url": sink.url}})
    line.outbox._forwarder = forwarder
    await line.call(line.sms_call("twilio", "see you & yours at noon = 12 ☕"))

    await line.work_all()

    ((_, headers, body),) = sink.requests
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
    assert fields["Body"] == "see you & yours at noon = 12 ☕"
    assert RequestValidator(TOKEN).validate(sink.url, fields, headers["x-twilio-signature"])
    assert headers["x-filterd-verdict"] == "accept"


async def test_forward_when_the_customer_was_down_then_the_message_arrives_later(
    sink: Sink, forwarder: HttpForwarder
) -> None:
    line = Line({"generic": {"deliver_url": sink.url}})
    line.outbox._forwarder = forwarder
    sink.answer = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
    await line.call(line.sms_call("generic", "see you at noon"))
    await line.work_all()
    sink.answer = OK
    line.clock.advance(line.settings.forward_retry_seconds)

    await line.work_all()

    keys = {headers["idempotency-key"] for _, headers, _ in sink.requests}
    assert (len(sink.requests), len(keys)) == (2, 1)
    assert await line.store.claim_work(limit=1, lease_seconds=1) == ()

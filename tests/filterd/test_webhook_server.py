"""Webhooks over real sockets: the documentation's curl call, and request lines a test client cannot send."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.applications import Starlette

from filterd.edges.webhooks import twilio
from filterd.edges.webhooks.routes import routes
from filterd.http_server import HttpEdge
from tests.filterd.webhook_line import BASE, TOKEN, Line

DOCUMENT = Path(__file__).parents[2] / "docs" / "webhooks.md"
DOCUMENTED_SECRET = "whsec_ZGVtby1zZWNyZXQtZGVtby1zZWNyZXQ="
DOCUMENTED_ADDRESS = "127.0.0.1:8025"


@asynccontextmanager
async def serving(line: Line) -> AsyncIterator[int]:
    """The line behind a real HTTP server; its port."""

    def fail(error: BaseException) -> None:
        raise AssertionError from error

    edge = HttpEdge(Starlette(routes=routes(line.settings, line.webhooks)), on_bug=fail)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await edge.serve(listener)
        try:
            yield listener.getsockname()[1]
        finally:
            await edge.drain(5.0)


async def status_of(port: int, *chunks: bytes) -> int:
    """The status of the answer to a raw request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()


def real_time(line: Line) -> Line:
    """The line with its clock set to now, for callers that have their own."""
    line.clock.advance((datetime.now(UTC) - line.clock.now()).total_seconds())
    return line


def documented_call(port: int) -> str:
    """The commands of the document, aimed at ``port``."""
    commands = re.search(r"```sh\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert commands
    assert DOCUMENTED_ADDRESS in commands[1]
    return commands[1].replace(DOCUMENTED_ADDRESS, f"127.0.0.1:{port}")


async def test_curl_when_run_as_documented_then_the_message_is_accepted() -> None:
    line = real_time(Line({"generic": {"secret": DOCUMENTED_SECRET}}))
    async with serving(line) as port:
        process = await asyncio.create_subprocess_exec(
            "sh", "-euc", documented_call(port), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, errors = await process.communicate()

    assert (output, errors) == (b'{"status":"accepted"}\n', b"")
    assert len(line.scanner.seen) == 1


async def test_curl_when_the_secret_is_another_then_it_is_refused() -> None:
    line = real_time(Line())
    async with serving(line) as port:
        process = await asyncio.create_subprocess_exec(
            "sh", "-euc", documented_call(port), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        _, errors = await process.communicate()

    assert process.returncode
    assert b"403" in errors
    assert line.scanner.seen == []


@pytest.mark.parametrize(
    "target",
    [
        "/webhooks/twilio",
        "http://evil.example/webhooks/twilio",
        "//evil.example@x/webhooks/twilio",
        "/webhooks/%74wilio",
    ],
)
@pytest.mark.parametrize("host", [b"evil.example", b"sms.example.com@evil.example", b""])
async def test_d2_post_when_target_or_host_is_twisted_then_only_the_configured_url_can_verify(
    target: str, host: bytes
) -> None:
    """The body is signed for the configured URL: whatever route answers, no other URL makes it valid or invalid."""
    line = Line()
    call = line.sms_call("twilio", "see you at noon")
    assert call.url == f"{BASE}/webhooks/twilio"
    headers = b"".join(f"{name}: {value}\r\n".encode() for name, value in call.headers)
    head = f"POST {target} HTTP/1.1\r\ncontent-length: {len(call.body)}\r\nhost: ".encode() + host + b"\r\n" + headers

    async with serving(line) as port:
        status = await status_of(port, head + b"\r\n" + call.body)

    assert status in {200, 400, 404}
    assert len(line.scanner.seen) == (status == 200)


async def test_d1_post_when_signed_for_another_host_then_naming_that_host_does_not_help() -> None:
    """The right key, but another URL: a call meant for somebody else's endpoint."""
    line = Line()
    foreign = twilio.signature(TOKEN, "https://evil.example/webhooks/twilio", [("From", "1"), ("To", "2")])
    head = (
        "POST /webhooks/twilio HTTP/1.1\r\nhost: evil.example\r\nx-forwarded-host: evil.example\r\n"
        "content-type: application/x-www-form-urlencoded\r\ncontent-length: 11\r\n"
        f"x-twilio-signature: {foreign}\r\n\r\nFrom=1&To=2"
    )

    async with serving(line) as port:
        assert await status_of(port, head.encode()) == 403


async def test_d5_post_when_a_chunked_body_is_too_large_then_413() -> None:
    line = Line({"max_body_bytes": 1_000})
    head = b"POST /webhooks/generic HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"200\r\n" + b"x" * 512 + b"\r\n"

    async with serving(line) as port:
        assert await status_of(port, head, chunk, chunk, chunk) == 413


async def test_d5_post_when_the_declared_length_is_too_large_then_413_without_reading() -> None:
    head = b"POST /webhooks/generic HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n"

    async with serving(Line()) as port:
        assert await status_of(port, head) == 413

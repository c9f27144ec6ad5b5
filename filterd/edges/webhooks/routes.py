"""The HTTP side of the webhooks: the only file here that knows the web framework.

The body is counted while it streams, compressed bodies are refused, and the whole call has ten seconds. The URL
that signatures are checked against is built from the configuration, never from the Host header or the path.
"""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from filterd.edges.webhooks.adapter import WebhookReply
from filterd.edges.webhooks.receive import Webhooks, refusal
from filterd.edges.webhooks.request import WebhookRequest
from filterd.errors import MessageTooLarge
from filterd.replies import http_status
from filterd.sms_settings import SmsSettings

DEADLINE_SECONDS = 10.0
"""Providers give up after 4 to 15 seconds."""

_NOT_FOUND = refusal(404, "not found")
_NOT_ALLOWED = refusal(405, "method not allowed")
_TOO_SLOW = refusal(408, "the body took too long")
_TOO_LARGE = refusal(http_status(MessageTooLarge()), MessageTooLarge.public)
_COMPRESSED = refusal(415, "content encodings are not accepted")


def routes(settings: SmsSettings, webhooks: Webhooks) -> list[Route]:
    """The route of all providers; one that is turned off is 404 like one that does not exist."""

    async def receive(request: Request) -> Response:
        return _response(await _answer(request, settings, webhooks))

    return [Route("/webhooks/{provider}", receive, methods=["GET", "POST"], include_in_schema=False)]


async def _answer(request: Request, settings: SmsSettings, webhooks: Webhooks) -> WebhookReply:
    deadline = asyncio.get_running_loop().time() + DEADLINE_SECONDS
    adapter = webhooks.adapter(request.path_params["provider"])
    if adapter is None:
        return _NOT_FOUND
    if request.method not in adapter.methods:
        return _NOT_ALLOWED
    body = await _read(request, settings.max_body_bytes, deadline)
    if isinstance(body, WebhookReply):
        webhooks.note_unread(adapter, f"HTTP {body.status}")
        return body
    query = request.scope["query_string"].decode("latin-1")
    url = f"{settings.public_base_url.rstrip('/')}/webhooks/{adapter.name}"
    call = WebhookRequest(
        method=request.method,
        url=f"{url}?{query}" if query else url,
        query=query,
        headers=tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in request.headers.raw),
        body=body,
    )
    return await webhooks.receive(adapter, call, deadline)


async def _read(request: Request, limit: int, deadline: float) -> bytes | WebhookReply:
    """The whole body, or the refusal as soon as it is known to be needed."""
    if request.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        return _COMPRESSED
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        return _TOO_LARGE
    body = bytearray()
    try:
        async with asyncio.timeout_at(deadline):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    return _TOO_LARGE
    except (TimeoutError, ClientDisconnect):
        return _TOO_SLOW
    return bytes(body)


def _response(reply: WebhookReply) -> Response:
    headers = {"content-type": reply.content_type, "cache-control": "no-store", **dict(reply.headers)}
    return Response(content=reply.body, status_code=reply.status, headers=headers)

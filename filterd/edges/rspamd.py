"""The rspamd edge: rspamd's HTTP interface on a listener of its own, for clients that ask and act themselves.

Served are /checkv2 and its old names, /learnspam, /learnham, /stat and /ping. Not taken are encrypted (HTTPCrypt) and
compressed bodies. The client keeps the message: while mail of ours would be deferred it is told "soft reject", and
where nothing was scored 503, never "no action".
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from filterd import __version__
from filterd.adviser import Adviser, Asked
from filterd.beside import beside_loop
from filterd.core import rspamd_codec as codec
from filterd.core.networks import Networks
from filterd.core.spamd_codec import word
from filterd.core.verdict import Action, Label
from filterd.edge_settings import RspamdSettings
from filterd.edges.limits import Budget, Reservation
from filterd.errors import (
    FilterdError,
    MessageTooLarge,
    Overloaded,
    RequestInvalid,
    TemporaryError,
    Unscannable,
)
from filterd.labeller import Labeller
from filterd.log import Events
from filterd.metrics import Metrics

_CHECKS = ("/checkv2", "/check", "/scan", "/symbols")
_STATUS: tuple[tuple[type[Exception], int, str], ...] = (
    (TimeoutError, 408, "broken"),
    (ClientDisconnect, 400, "client_gone"),
    (RequestInvalid, 400, "broken"),
    (MessageTooLarge, 413, "too_large"),
    (Unscannable, 422, ""),
)
"""Error, HTTP status, and as what an unjudged message is counted. Whatever is not here is 503."""

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RspamdParts:
    """What requests are answered with."""

    adviser: Adviser
    labeller: Labeller
    budget: Budget
    counts: Callable[[], Awaitable[Mapping[Action, int]]]
    """Messages judged so far. Raises StoreUnavailable."""
    metrics: Metrics
    events: Events


def rspamd_app(settings: RspamdSettings, parts: RspamdParts) -> Starlette:
    """The application."""
    desk = _Desk(settings, parts)
    routes = [Route(path, desk.guarded(desk.check), methods=["POST"]) for path in _CHECKS]
    routes += [
        Route(f"/learn{label.value}", desk.guarded(partial(desk.learn, label)), methods=["POST"]) for label in Label
    ]
    routes.append(Route("/stat", desk.guarded(desk.stat), methods=["GET", "POST"]))
    routes.append(Route("/ping", _ping, methods=["GET", "POST"]))
    return Starlette(routes=routes)


async def _ping(_request: Request) -> Response:
    return PlainTextResponse("pong\r\n")


class _Desk:
    def __init__(self, settings: RspamdSettings, parts: RspamdParts) -> None:
        self._settings = settings
        self._parts = parts
        self._askers = Networks(settings.networks)
        self._teachers = Networks(settings.learn_networks)

    def guarded(self, handler: Handler) -> Handler:
        """``handler`` for clients that may ask, its errors turned into answers."""

        async def answer(request: Request) -> Response:
            client = _client_of(request)
            if client is not None and client not in self._askers:
                self._parts.metrics.sessions_refused.labels("rspamd").inc()
                return _json(codec.failure("not allowed"), 403)
            try:
                return await handler(request)
            except (FilterdError, TimeoutError, ClientDisconnect) as exc:
                return self._refusal(exc)

        return answer

    def _refusal(self, error: Exception) -> Response:
        for kind, status, why in _STATUS:
            if isinstance(error, kind):
                if why:
                    self._parts.metrics.unjudged.labels(why).inc()
                text = error.detail if isinstance(error, RequestInvalid | Unscannable) else _TEXTS[status]
                return _json(codec.failure(text), status)
        return _json(codec.failure(FilterdError.public), 503)

    async def check(self, request: Request) -> Response:
        """What we think of the body."""
        reserved = Reservation(self._parts.budget)
        try:
            asked = await self._asked(request, reserved)
            advice = await self._parts.adviser.advise(asked)
            work = partial(codec.answer, advice, asked.raw, self._settings.quarantine_as)
            return _json(await beside_loop(work, len(asked.raw)))
        except TemporaryError as exc:
            if isinstance(exc, Overloaded):
                self._parts.metrics.unjudged.labels("busy").inc()
            return _json(codec.deferred())
        finally:
            reserved.release()

    async def learn(self, label: Label, request: Request) -> Response:
        """A label on the body, of the user whose mail it is, or of rspamd's clients as one."""
        if not self._may_teach(request):
            self._parts.labeller.count("refused")
            self._parts.events.report_refused("", "", _client_of(request) or "")
            return _json(codec.failure("Unauthorized"), 401)
        reserved = Reservation(self._parts.budget)
        try:
            asked = await self._asked(request, reserved)
            reporter = word(request.headers.get("deliver-to", "")) or word(request.headers.get("user", ""))
            is_new = await self._parts.adviser.teach(asked, label, reporter)
        finally:
            reserved.release()
        # 208 is what rspamd says to what it has learned before.
        return _json({"success": True}) if is_new else _json(codec.failure("already learned"), 208)

    async def stat(self, _request: Request) -> Response:
        """Counts, in the form that ``rspamc stat`` prints."""
        return _json(codec.stat(__version__, await self._parts.counts(), self._settings.quarantine_as))

    def _may_teach(self, request: Request) -> bool:
        client = _client_of(request)
        if request.headers.get("origin"):
            # A browser, sent by some page: that it runs on a trusted machine says nothing about the page.
            return False
        if client is None or client in self._teachers:
            return True
        password = self._settings.password.reveal()
        given = request.headers.get("password", "")
        return bool(password) and hmac.compare_digest(given.encode("utf-8", "replace"), password.encode())

    async def _asked(self, request: Request, reserved: Reservation) -> Asked:
        headers = request.headers
        if headers.get("compression") or headers.get("content-encoding", "identity").lower() not in {"", "identity"}:
            raise RequestInvalid("compressed messages are not taken")
        if headers.get("key"):
            raise RequestInvalid("encrypted requests are not taken")
        async with asyncio.timeout(self._settings.receive_timeout_seconds):
            raw = await self._body(request, reserved)
        recipients = codec.recipients_of(headers.getlist("rcpt")) or codec.recipients_of(headers.getlist("deliver-to"))
        return Asked(
            raw=raw, sender=word(headers.get("from", "")), recipients=recipients, peer=codec.peer_of(dict(headers))
        )

    async def _body(self, request: Request, reserved: Reservation) -> bytes:
        most = self._parts.adviser.most_bytes
        declared = request.headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > most:
            raise MessageTooLarge
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise MessageTooLarge
            reserved.grow(len(body))
        return bytes(body)


_TEXTS = {408: "the message took too long", 400: "the message is not whole", 413: MessageTooLarge.public}


def _client_of(request: Request) -> str | None:
    """The address of the client, empty where it is not known; None on a unix socket: whoever opens that is trusted."""
    client, server = request.scope.get("client"), request.scope.get("server")
    if client:
        return str(client[0])
    return None if server and server[1] is None else ""


def _json(value: dict[str, Any], status: int = 200) -> Response:
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, status, {"cache-control": "no-store"}, "application/json")

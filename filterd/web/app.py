"""The HTTP application: the pages, the API, and beside them whatever routes it is given (webhooks).

Every answer of the API is ``no-store`` and ``nosniff``; every error of it is a problem document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from filterd import __version__
from filterd.errors import FilterdError
from filterd.web.api.accounts import account_routes
from filterd.web.api.acts import act_routes
from filterd.web.api.campaigns import campaign_routes
from filterd.web.api.check import check_routes
from filterd.web.api.document import EVERYWHERE, DescribedApi, problems
from filterd.web.api.feedback import feedback_routes
from filterd.web.api.models import model_routes as model_api
from filterd.web.api.parts import ApiParts
from filterd.web.api.quarantine import quarantine_routes
from filterd.web.api.rules import rule_routes
from filterd.web.api.stats import stats_routes
from filterd.web.api.undo import undo_routes
from filterd.web.api.verdicts import verdict_routes
from filterd.web.guard import texts_for
from filterd.web.home import home_routes
from filterd.web.pages.account import account_pages
from filterd.web.pages.accounts import accounts_pages
from filterd.web.pages.history import history_pages
from filterd.web.pages.models import model_pages
from filterd.web.pages.overview import overview_pages
from filterd.web.pages.provider import provider_pages
from filterd.web.pages.quarantine import quarantine_pages
from filterd.web.pages.rules import rules_pages
from filterd.web.pages.sign_in import sign_in_pages
from filterd.web.pages.ticket import ticket_pages
from filterd.web.pages.tokens import tokens_pages
from filterd.web.pages.undo import undo_pages
from filterd.web.parts import WebParts
from filterd.web.problem import problem, problem_of
from filterd.web.static_files import static_routes

MAX_BODY_BYTES = 65_536
_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def build_app(parts: ApiParts, pages: WebParts | None, routes: Sequence[BaseRoute] = ()) -> Starlette:
    """The pages, or one page at / where there are none, the API under /api/v1, and ``routes`` beside them."""
    api = Mount("/api/v1", app=_Guarded(_with(parts, _api()), {"/api/v1/check": _most_to_check(parts)}))
    if pages is None:
        return Starlette(routes=[*home_routes(), *routes, api], exception_handlers=_NOWHERE)
    mounts = [*routes, api, *static_routes(), Mount("/", app=_Limited(_build_pages(pages)))]
    return Starlette(routes=mounts, exception_handlers=_NOWHERE)


# A mount does not take a path with a line break in it, so this is where such ids of messages end.
_NOWHERE: dict[Any, Callable[[Request, Exception], Response]] = {
    404: lambda _request, _exc: problem(404, headers=_HEADERS),
}


def _most_to_check(parts: ApiParts) -> int:
    """Bytes: the largest message in base64, and what else stands in the JSON."""
    return -(-parts.checking.most_bytes // 3) * 4 + MAX_BODY_BYTES


def _build_pages(parts: WebParts) -> Starlette:
    routes = [
        *sign_in_pages(parts),
        *provider_pages(parts),
        *account_pages(parts),
        *accounts_pages(parts),
        *tokens_pages(parts),
        *quarantine_pages(parts),
        *history_pages(parts),
        *rules_pages(parts),
        *ticket_pages(parts),
        *undo_pages(parts),
        *model_pages(parts),
        *overview_pages(parts),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: partial(_refused, parts)})


async def _refused(parts: WebParts, request: Request, exc: Exception) -> Response:
    """A page for what the framework refuses: no such path, method, or a body that is too large."""
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    name = "absent" if status == 404 else "usage"
    return parts.renderer.page("error.html", texts_for(parts, request), status, error=name, detail="", notice=None)


def _with(parts: ApiParts, app: ASGIApp) -> ASGIApp:
    """Requests that know the parts."""

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {**scope.get("state", {}), "parts": parts}}, receive, send)

    return told


@cache
def _api() -> DescribedApi:
    """The API, of which a process needs one: its operations find the parts in the request."""
    # The interactive pages load scripts from elsewhere; the document itself is enough.
    api = DescribedApi(title="filterd", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False)
    handlers: dict[Any, Callable[[Request, Any], Response]] = {
        FilterdError: lambda _request, exc: problem_of(exc),
        RequestValidationError: lambda _request, exc: problem(422, _wrong(exc)),
        HTTPException: lambda _request, exc: problem(_status(exc), _own(exc), exc.headers),
    }
    for kind, handler in handlers.items():
        api.add_exception_handler(kind, handler)
    for router in (
        check_routes(),
        account_routes(),
        feedback_routes(),
        quarantine_routes(),
        act_routes(),
        campaign_routes(),
        rule_routes(),
        undo_routes(),
        verdict_routes(),
        model_api(),
        stats_routes(),
    ):
        api.include_router(router, responses=problems(*EVERYWHERE))
    return api


def _wrong(exc: RequestValidationError) -> str:
    """Which fields are wrong; not what was in them."""
    return "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in exc.errors()[:5])


def _status(exc: HTTPException) -> int:
    """400 is what the framework says of a body that is no JSON at all."""
    return 422 if exc.status_code == 400 else exc.status_code


def _own(exc: HTTPException) -> str:
    """The detail we gave; Starlette's own repeats the title."""
    return exc.detail if exc.status_code == 502 else ""


class _Limited:
    """Counts the request body while it streams."""

    def __init__(self, app: ASGIApp, larger: Mapping[str, int] = MappingProxyType({})) -> None:
        """``larger`` has the bytes that paths of their own may take."""
        self._app = app
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        received, most = 0, self._larger.get(scope["path"], MAX_BODY_BYTES)

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)


class _Guarded(_Limited):
    """Puts our headers on every answer, too."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        await super().__call__(scope, receive, marked)

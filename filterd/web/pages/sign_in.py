"""The pages at /sign-in and /sign-out."""

from __future__ import annotations

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from filterd.errors import FilterdError, TooManyTries, UsageError
from filterd.web.guard import Visit, error_page, is_own_request, local_path, texts_for, visited
from filterd.web.parts import WebParts
from filterd.web.peers import client_of
from filterd.web.render import HEADERS
from filterd.web.sign_in import SESSION_HOURS


def sign_in_pages(parts: WebParts) -> list[Route]:
    """Where people sign in and out."""

    async def sign_in(request: Request) -> Response:
        texts = texts_for(parts, request)
        try:
            if request.method == "POST":
                return await _try(parts, request, await request.form(max_files=0, max_fields=10))
            return sign_in_form(parts, request, next_path=local_path(request.query_params.get("next", "/")))
        except FilterdError as exc:
            return error_page(parts, texts, exc)

    async def once(request: Request) -> Response:
        texts = texts_for(parts, request)
        try:
            return await _once(parts, request)
        except FilterdError as exc:
            return error_page(parts, texts, exc)

    return [
        Route("/sign-in", sign_in, methods=["GET", "POST"]),
        Route("/sign-in/once/{secret}", once, methods=["GET", "POST"]),
        Route("/sign-out", visited(parts, _sign_out), methods=["POST"]),
    ]


def signed_in(parts: WebParts, secret: str, next_path: str) -> Response:
    """Goes on at a page of ours with the cookie of the new session."""
    response = RedirectResponse(local_path(next_path), 303, headers=dict(HEADERS))
    # Lax, not Strict: whoever follows a link of a digest is signed in there, and no GET changes anything.
    response.set_cookie(
        parts.cookie_name,
        secret,
        max_age=SESSION_HOURS * 3600,
        path="/",
        secure=parts.is_https,
        httponly=True,
        samesite="lax",
    )
    return response


async def _try(parts: WebParts, request: Request, form: FormData) -> Response:
    name, password, next_path = (_text(form, field) for field in ("name", "password", "next"))
    if not is_own_request(parts, request):
        return sign_in_form(parts, request, next_path=next_path, status=403, wrong="elsewhere")
    try:
        opened = await parts.sign_in.with_password(name, password, client_of(parts, request))
    except TooManyTries:
        parts.events.sign_in(name, "throttled")
        return sign_in_form(parts, request, next_path=next_path, status=429, wrong="wait", name=name)
    if opened is None:
        parts.events.sign_in(name, "refused")
        return sign_in_form(parts, request, next_path=next_path, status=401, wrong="wrong", name=name)
    parts.events.sign_in(name, "opened")
    return signed_in(parts, opened[0], next_path)


async def _once(parts: WebParts, request: Request) -> Response:
    """A link from the command line. Following it uses nothing up: the button does."""
    if request.method != "POST":
        return parts.renderer.page("once.html", texts_for(parts, request), notice=None)
    if not is_own_request(parts, request):
        raise UsageError(texts_for(parts, request)("sign_in.elsewhere"))
    opened = await parts.sign_in.with_link(request.path_params["secret"])
    if opened is None:
        raise UsageError(texts_for(parts, request)("sign_in.used"))
    parts.events.sign_in(opened[1].name, "opened")
    return signed_in(parts, opened[0], "/")


def sign_in_form(
    parts: WebParts, request: Request, *, next_path: str, status: int = 200, wrong: str = "", name: str = ""
) -> Response:
    """The form to sign in with; ``wrong`` names a text that says what went wrong."""
    return parts.renderer.page(
        "sign_in.html",
        texts_for(parts, request),
        status,
        next=local_path(next_path),
        wrong=wrong,
        name=name[:254],
        provider=parts.settings.oidc.name if parts.provider else "",
        notice=None,
    )


async def _sign_out(visit: Visit) -> Response:
    await visit.parts.sign_in.close(visit.request.cookies.get(visit.parts.cookie_name, ""))
    response = visit.back("/sign-in")
    response.delete_cookie(visit.parts.cookie_name, path="/", secure=visit.parts.is_https, httponly=True)
    return response


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""

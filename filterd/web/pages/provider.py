"""Signing in at the OpenID provider: out at /sign-in/provider, back at /sign-in/callback.

What the browser must bring back goes along in a cookie that lives ten minutes, signed, and out of reach of scripts.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from dataclasses import asdict
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from filterd.errors import FilterdError, ProviderFailed, SignInRefused, TooManyTries
from filterd.web.guard import error_page, is_own_request, local_path, texts_for
from filterd.web.oidc import OpenIdProvider, Pending
from filterd.web.pages.sign_in import sign_in_form, signed_in
from filterd.web.parts import WebParts
from filterd.web.peers import client_of
from filterd.web.provider_people import account_of

COOKIE_SECONDS = 600
_LONGEST_PATH = 1_000


def provider_pages(parts: WebParts) -> list[Route]:
    """Where people leave for the provider and come back; nothing where there is none."""
    provider = parts.provider
    if provider is None:
        return []

    async def leave(request: Request) -> Response:
        try:
            return await _leave(parts, provider, request)
        except FilterdError as exc:
            return _refused(parts, request, exc)

    async def come_back(request: Request) -> Response:
        try:
            response = await _come_back(parts, provider, request)
        except FilterdError as exc:
            response = _refused(parts, request, exc)
        response.delete_cookie(_cookie(parts), path="/", secure=parts.is_https, httponly=True)
        return response

    return [
        Route("/sign-in/provider", leave, methods=["POST"]),
        Route("/sign-in/callback", come_back, methods=["GET"]),
    ]


async def _leave(parts: WebParts, provider: OpenIdProvider, request: Request) -> Response:
    if not is_own_request(parts, request):
        return sign_in_form(parts, request, next_path="/", status=403, wrong="elsewhere")
    await parts.sign_in.check_peer(client_of(parts, request))
    wanted = (await request.form(max_files=0, max_fields=10)).get("next", "/")
    pending = Pending(
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(32),
        next_path=local_path(wanted)[:_LONGEST_PATH] if isinstance(wanted, str) else "/",
    )
    address = await provider.address_of(pending)
    # A page that goes on by itself: a redirect of a form to another host is held up by form-action 'self'.
    response = parts.renderer.page("to_provider.html", texts_for(parts, request), address=address, notice=None)
    response.set_cookie(
        _cookie(parts),
        _sealed(parts, pending),
        max_age=COOKIE_SECONDS,
        path="/",
        secure=parts.is_https,
        httponly=True,
        samesite="lax",
    )
    return response


async def _come_back(parts: WebParts, provider: OpenIdProvider, request: Request) -> Response:
    peer, who = client_of(parts, request), "provider"
    await parts.sign_in.check_peer(peer)
    try:
        pending, code = _brought_back(parts, request)
        claims = await provider.claims_of(code, pending)
        who = str(claims.get("email") or claims["sub"])
        account = await account_of(claims, provider.settings, parts.accounts, parts.clock)
    except SignInRefused:
        await parts.sign_in.note_peer(peer)
        parts.events.sign_in(who, "refused")
        raise
    parts.events.sign_in(account.name, "opened")
    return signed_in(parts, await parts.sign_in.open(account), pending.next_path)


def _brought_back(parts: WebParts, request: Request) -> tuple[Pending, str]:
    """What this browser left with, and the code it was given. Raises SignInRefused."""
    pending = _unsealed(parts, request.cookies.get(_cookie(parts), ""))
    state, code = (request.query_params.get(name, "") for name in ("state", "code"))
    if pending is None or not hmac.compare_digest(state.encode("utf-8", "replace"), pending.state.encode()):
        raise SignInRefused("another browser asked, or too long ago")
    if not code:
        raise SignInRefused("the provider refused")
    return pending, code


def _refused(parts: WebParts, request: Request, error: FilterdError) -> Response:
    """The form again, with a word of why; which check failed is for the log of the operator, not for a stranger."""
    if isinstance(error, TooManyTries):
        parts.events.sign_in("provider", "throttled")
        return sign_in_form(parts, request, next_path="/", status=429, wrong="wait")
    if isinstance(error, SignInRefused):
        parts.events.provider_refused(error.detail)
        return sign_in_form(parts, request, next_path="/", status=403, wrong="provider_refused")
    if isinstance(error, ProviderFailed):
        parts.events.provider_failed(error.detail)
        return sign_in_form(parts, request, next_path="/", status=503, wrong="provider_away")
    return error_page(parts, texts_for(parts, request), error)


def _cookie(parts: WebParts) -> str:
    return f"{parts.cookie_name}-openid"


def _sealed(parts: WebParts, pending: Pending) -> str:
    until = (parts.clock.now() + timedelta(seconds=COOKIE_SECONDS)).timestamp()
    body = base64.urlsafe_b64encode(json.dumps({**asdict(pending), "until": until}).encode()).decode()
    return f"{body}.{parts.sign_in.seal(body)}"


def _unsealed(parts: WebParts, cookie: str) -> Pending | None:
    """What was sealed; None where it is too old or not ours."""
    body, _, seal = cookie.rpartition(".")
    if not hmac.compare_digest(parts.sign_in.seal(body).encode(), seal.encode("utf-8", "replace")):
        return None
    tree = json.loads(base64.urlsafe_b64decode(body))
    if parts.clock.now().timestamp() >= tree.pop("until"):
        return None
    return Pending(**tree)

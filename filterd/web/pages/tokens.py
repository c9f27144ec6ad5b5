"""Tokens of the API, for administrators: shown once when they are made, and revoked."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from filterd.account_names import token_name_of
from filterd.account_ports import Scope, Token
from filterd.core.secret_digest import digest
from filterd.errors import UsageError
from filterd.web.auth import new_secret
from filterd.web.guard import Visit, visited
from filterd.web.menu import roles_of
from filterd.web.parts import WebParts


def tokens_pages(parts: WebParts) -> list[Route]:
    """What is at /accounts/tokens."""
    roles = roles_of("accounts", parts.settings)
    return [
        Route("/accounts/tokens", visited(parts, _list, roles), methods=["GET"]),
        Route("/accounts/tokens", visited(parts, _add, roles), methods=["POST"]),
        Route("/accounts/tokens/revoke", visited(parts, _revoke, roles), methods=["POST"]),
    ]


async def _list(visit: Visit) -> Response:
    return await _page(visit, {}, ())


async def _page(
    visit: Visit, wrong: dict[str, str], marked: tuple[str, ...], secret: tuple[str, str] | None = None
) -> Response:
    """The page, with what was typed and what is wrong with it; ``secret`` is a token's name and the token."""
    return visit.page(
        "tokens.html",
        422 if wrong else 200,
        tokens=await visit.parts.tokens.list_tokens(),
        scopes=tuple(Scope),
        typed=visit.field("name") if wrong else "",
        marked=marked,
        wrong=wrong,
        secret=secret,
    )


async def _add(visit: Visit) -> Response:
    wrong: dict[str, str] = {}
    name, marked = "", visit.fields("scope")
    try:
        name = token_name_of(visit.field("name"))
    except UsageError:
        wrong["name"] = visit.texts("tokens.wrong_name")
    if any(token.name == name for token in await visit.parts.tokens.list_tokens()):
        wrong["name"] = visit.texts("accounts.taken")
    if not marked or not set(marked) <= {scope.value for scope in Scope}:
        wrong["scope"] = visit.texts("tokens.wrong_scope")
    if wrong:
        return await _page(visit, wrong, marked)
    secret = new_secret()
    scopes = tuple(scope for scope in Scope if scope.value in marked)
    token = Token(name=name, scopes=scopes, created_at=visit.parts.clock.now())
    await visit.parts.tokens.add_token(token, digest(secret), visit.person.name)
    # No redirect: the secret stands on this page and nowhere else.
    return await _page(visit, {}, (), (name, secret))


async def _revoke(visit: Visit) -> Response:
    await visit.parts.tokens.revoke_token(visit.field("name"), visit.person.name)
    return visit.back("/accounts/tokens", said="revoked")

"""What stands before every page: a session, a role, and for what changes something the form's own token.

A request that changes something is a POST that carries the token of its session, and the browser does not say that
another site made it (Sec-Fetch-Site, Origin). A GET changes nothing: whatever follows links cannot do harm.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from filterd.account_ports import Account
from filterd.core.access import Person, Role
from filterd.errors import FilterdError, NotFound, TemporaryError, TooManyTries, UsageError
from filterd.web.catalogue import LANGUAGES, Texts, choose, texts_of
from filterd.web.menu import pages
from filterd.web.parts import WebParts
from filterd.web.render import HEADERS
from filterd.zones import told_zone

MAX_FIELDS = 1_000
ZONE_COOKIE = "zone"
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request of somebody who has signed in."""

    parts: WebParts
    request: Request
    account: Account
    texts: Texts
    token: str
    """What forms of this session carry."""
    form: FormData
    """Fields of a POST; empty for a GET."""

    @property
    def person(self) -> Person:
        """Who it is."""
        return self.account.person

    @property
    def zone(self) -> tzinfo:
        """Where their clock is."""
        return zone_for(self.request)

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page in their language."""
        shared = {
            "person": self.person,
            "menu": pages(self.person, self.parts.settings),
            "token": self.token,
            "path": self.request.url.path,
            "notice": _notice(self),
        }
        return self.parts.renderer.page(template, self.texts, status, zone=self.zone, **shared, **values)

    def back(self, path: str, **query: str) -> Response:
        """Go on at a page of ours, by GET."""
        address = path + (f"?{urllib.parse.urlencode(query)}" if query else "")
        return RedirectResponse(address, 303, headers=dict(HEADERS))

    def done(self, said: str, n: int, began: datetime, path: str) -> Response:
        """Go on at ``path``, which says that ``n`` things were done since ``began`` and offers to take them back."""
        until = self.parts.clock.now() + timedelta(microseconds=1)
        join = "&" if "?" in path else "?"
        query = {"said": said, "n": str(n), "undo": f"{began.isoformat()}~{until.isoformat()}"}
        return RedirectResponse(f"{path}{join}{urllib.parse.urlencode(query)}", 303, headers=dict(HEADERS))

    def field(self, name: str, default: str = "") -> str:
        """A field of the form as text."""
        value = self.form.get(name, default)
        return value if isinstance(value, str) else default

    def fields(self, name: str) -> tuple[str, ...]:
        """All fields of that name."""
        return tuple(value for value in self.form.getlist(name) if isinstance(value, str))


Handler = Callable[[Visit], Awaitable[Response]]


def visited(parts: WebParts, handler: Handler, roles: frozenset[Role] = frozenset(Role)) -> Endpoint:
    """``handler`` for people of ``roles`` who have signed in; everybody else is sent to sign in, or refused."""

    async def endpoint(request: Request) -> Response:
        texts = texts_for(parts, request)
        try:
            secret = request.cookies.get(parts.cookie_name, "")
            account = await parts.sign_in.find(secret)
            if account is None:
                return _to_sign_in(request)
            texts = texts_for(parts, request, account)
            if account.role not in roles:
                return parts.renderer.page("error.html", texts, 403, error="forbidden", detail="", notice=None)
            form = FormData()
            if request.method == "POST":
                form = await request.form(max_files=0, max_fields=MAX_FIELDS)
                if not is_own_request(parts, request) or not parts.sign_in.is_form_token(secret, _token_in(form)):
                    return parts.renderer.page("error.html", texts, 403, error="stale", detail="", notice=None)
            visit = Visit(
                parts=parts,
                request=request,
                account=account,
                texts=texts,
                token=parts.sign_in.form_token(secret),
                form=form,
            )
            return await handler(visit)
        except FilterdError as exc:
            return error_page(parts, texts, exc)

    return endpoint


def error_page(parts: WebParts, texts: Texts, error: FilterdError) -> Response:
    """The page that says what went wrong: what the person did wrong in full, what we did wrong not at all."""
    status, name = next((status, name) for kind, status, name in _ERRORS if isinstance(error, kind))
    detail = error.detail if isinstance(error, UsageError) else ""
    return parts.renderer.page("error.html", texts, status, error=name, detail=detail, notice=None)


_ERRORS: tuple[tuple[type[FilterdError], int, str], ...] = (
    (NotFound, 404, "absent"),
    (TooManyTries, 429, "too_many_tries"),
    (UsageError, 409, "usage"),
    (TemporaryError, 503, "temporary"),
    (FilterdError, 503, "temporary"),
)


def texts_for(parts: WebParts, request: Request, account: Account | None = None) -> Texts:
    """The texts in the language of the account, else of the browser."""
    if account is not None and account.language in LANGUAGES:
        return texts_of(account.language)
    return texts_of(choose(request.headers.get("accept-language", ""), parts.settings.language))


def zone_for(request: Request) -> tzinfo:
    """The time zone of the browser, which a script of ours tells in a cookie; UTC without."""
    return told_zone(request.cookies.get(ZONE_COOKIE, "UTC"))


def is_own_request(parts: WebParts, request: Request) -> bool:
    """Whether the browser does not say that another site made it. Programs say nothing; they need the token, too."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = request.headers.get("origin")
    return origin is None or origin in {parts.settings.public_url, f"{request.url.scheme}://{request.url.netloc}"}


def local_path(text: str) -> str:
    """``text`` where it is a path of ours, else the first page: whoever signs in is not led elsewhere."""
    is_local = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if is_local else "/"


def _to_sign_in(request: Request) -> Response:
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    query = f"?{urllib.parse.urlencode({'next': wanted})}" if request.method == "GET" and wanted != "/" else ""
    return RedirectResponse(f"/sign-in{query}", 303, headers=dict(HEADERS))


def _token_in(form: FormData) -> str:
    token = form.get("token", "")
    return token if isinstance(token, str) else ""


def _notice(visit: Visit) -> Mapping[str, Any] | None:
    """What the last action did, as the address of this page says: a text of the catalogue and a number."""
    said = visit.request.query_params.get("said", "")
    key = f"said.{said}"
    if key not in visit.texts.keys:  # a property
        return None
    number = visit.request.query_params.get("n", "1")
    undo = visit.request.query_params.get("undo", "")
    n = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 1
    return {"text": visit.texts(key, n=n), "undo": undo}

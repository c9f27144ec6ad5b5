"""Where links of digests lead: a page that says what its one button does. Nobody signs in for it.

Whoever has the link may use it, as the mail it stood in was theirs. Looking changes nothing, so that programs which
follow every link of a mail do no harm; and nothing of the message is shown beyond what the mail said.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from filterd.errors import FilterdError
from filterd.ticket_desk import Errand, ErrandState
from filterd.web.catalogue import LANGUAGES, texts_of
from filterd.web.guard import error_page, is_own_request, texts_for, zone_for
from filterd.web.parts import WebParts

_STATUS = {ErrandState.EXPIRED: 410}


def ticket_pages(parts: WebParts) -> list[Route]:
    """What is at /d/."""

    async def visit(request: Request) -> Response:
        texts, secret = texts_for(parts, request), request.path_params["secret"]
        try:
            if request.method != "POST":
                return _page(parts, request, await parts.tickets.look(secret))
            if not is_own_request(parts, request):
                return parts.renderer.page("error.html", texts, 403, error="stale", detail="", notice=None)
            return _page(parts, request, await parts.tickets.carry_out(secret))
        except FilterdError as exc:
            return error_page(parts, texts, exc)

    return [Route("/d/{secret}", visit, methods=["GET", "POST"])]


def _page(parts: WebParts, request: Request, errand: Errand) -> Response:
    texts = texts_of(errand.language) if errand.language in LANGUAGES else texts_for(parts, request)
    status = _STATUS.get(errand.state, 200)
    return parts.renderer.page(
        "ticket.html", texts, status, zone=zone_for(request), errand=errand, verb=errand.ticket.verb, notice=None
    )

"""One's own account: language, digest, password, and what it reaches."""

from __future__ import annotations

from dataclasses import replace

from starlette.responses import Response
from starlette.routing import Route

from filterd.core.digest import Rhythm, Schedule
from filterd.errors import UsageError
from filterd.web.catalogue import LANGUAGES
from filterd.web.guard import Visit, visited
from filterd.web.pages.sign_in import signed_in
from filterd.web.parts import WebParts
from filterd.web.passwords import MIN_CHARS, check_length
from filterd.web.peers import client_of
from filterd.zones import known_zone, zone_names


def account_pages(parts: WebParts) -> list[Route]:
    """What is at /account."""
    return [
        Route("/account", visited(parts, _show), methods=["GET"]),
        Route("/account/language", visited(parts, _change_language), methods=["POST"]),
        Route("/account/digest", visited(parts, _change_digest), methods=["POST"]),
        Route("/account/password", visited(parts, _change_password), methods=["POST"]),
    ]


async def _show(visit: Visit) -> Response:
    settings = visit.parts.settings.digest
    return visit.page(
        "account.html",
        account=visit.account,
        min_chars=MIN_CHARS,
        has_digest=bool(settings.sender and visit.account.mailbox and visit.person.may_act),
        usual=settings.schedule,
        rhythms=tuple(Rhythm),
        zones=zone_names(),
    )


async def _change_language(visit: Visit) -> Response:
    language = visit.field("language")
    if language and language not in LANGUAGES:
        raise UsageError("no such language")
    await visit.parts.accounts.change_account(replace(visit.account, language=language), visit.person.name)
    return visit.back("/account", said="saved")


async def _change_digest(visit: Visit) -> Response:
    digest = _schedule(visit) if visit.field("rhythm") else None
    await visit.parts.accounts.change_account(replace(visit.account, digest=digest), visit.person.name)
    return visit.back("/account", said="saved")


def _schedule(visit: Visit) -> Schedule:
    """What the form says. Raises UsageError."""
    try:
        return Schedule.of(f"{visit.field('rhythm')} {visit.field('at')[:5]} {known_zone(visit.field('zone').strip())}")
    except ValueError:
        raise UsageError(visit.texts("account.wrong_digest")) from None


async def _change_password(visit: Visit) -> Response:
    """Ends every session of the account and opens a new one here: whoever else knew the old password is out."""
    parts, new = visit.parts, visit.field("new")
    check_length(new)
    opened = await parts.sign_in.with_password(
        visit.person.name, visit.field("password"), client_of(parts, visit.request)
    )
    if opened is None:
        raise UsageError(visit.texts("account.wrong_password"))
    account = replace(visit.account, password_hash=await parts.passwords.hash(new))
    await parts.accounts.change_account(account, visit.person.name)
    return signed_in(parts, await parts.sign_in.open(account), "/account?said=password")

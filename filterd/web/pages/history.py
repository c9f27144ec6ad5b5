"""Every verdict, also of what passed: the list, one message, and the label that people give it."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.routing import Route

from filterd.actions import Verb
from filterd.core.access import Role
from filterd.core.envelope import Channel, MessageId
from filterd.core.verdict import Action, Reason
from filterd.errors import NotFound, UsageError
from filterd.ports import HeldSummary
from filterd.review_ports import Campaign, VerdictQuery
from filterd.web.fields import as_day, as_share, is_id, message_id
from filterd.web.guard import Visit, local_path, visited
from filterd.web.menu import roles_of
from filterd.web.paging import page_of
from filterd.web.parts import WebParts
from filterd.web.why import why

PAGE_ROWS = 50
CAMPAIGN_DAYS = 7
MAX_CAMPAIGN = 500
"""Messages of a campaign that are released or deleted at one click."""
_FIELDS = ("q", "sender", "recipient", "since", "until", "action", "reason", "channel", "least", "most")
_LABELS = frozenset((Verb.SPAM, Verb.HAM))


def history_pages(parts: WebParts) -> list[Route]:
    """What is at /history and /campaigns."""
    campaigns = roles_of("campaigns", parts.settings)
    roles = roles_of("history", parts.settings)
    return [
        Route("/history", visited(parts, _list, roles), methods=["GET"]),
        Route("/history", visited(parts, _label), methods=["POST"]),
        Route("/history/{id}", visited(parts, _show, roles), methods=["GET"]),
        Route("/campaigns", visited(parts, _campaigns, campaigns), methods=["GET"]),
        Route("/campaigns", visited(parts, _act_on_campaign, campaigns - {Role.AUDITOR}), methods=["POST"]),
    ]


async def _list(visit: Visit) -> Response:
    asked = {name: visit.request.query_params.get(name, "").strip()[:256] for name in _FIELDS}
    query = replace(query_of(asked, visit.request.query_params), reach=visit.person.reach)
    found = await visit.parts.review.history(replace(query, limit=PAGE_ROWS + 1))
    rows, last = page_of(found, PAGE_ROWS)
    kept = {name: value for name, value in asked.items() if value}
    return visit.page(
        "history.html",
        asked=asked,
        rows=rows,
        actions=tuple(Action),
        reasons=tuple(Reason),
        here=_address(kept | ({"before": query.before} if query.before else {})),
        newest=_address(kept) if query.before else "",
        older=_address(kept | {"before": last}) if last else "",
    )


def query_of(asked: Mapping[str, str], parameters: QueryParams) -> VerdictQuery:
    """Which verdicts a form asks for; what cannot be read is left out: a form is sent half filled in, at every key."""
    until = as_day(asked["until"])
    before = parameters.get("before", "")
    return VerdictQuery(
        text=asked["q"],
        sender=asked["sender"],
        recipient=asked["recipient"],
        since=as_day(asked["since"]),
        until=None if until is None else until + timedelta(days=1),
        actions=frozenset(action for action in Action if action == asked["action"]),
        reasons=frozenset(reason for reason in Reason if reason == asked["reason"]),
        channel=next((channel for channel in Channel if channel == asked["channel"]), None),
        least_probability=as_share(asked["least"]),
        most_probability=as_share(asked["most"]),
        before=MessageId(before) if is_id(before) else None,
    )


async def _show(visit: Visit) -> Response:
    parts, id = visit.parts, message_id(visit)
    rows = await parts.review.verdicts(id, visit.person.reach)
    whys = [
        why(row, await parts.examples.similar(row.channel, row.fingerprint) if row.fingerprint else ()) for row in rows
    ]
    return visit.page("verdict.html", id=id, whys=whys, held=await _held(visit, id))


async def _held(visit: Visit, id: MessageId) -> HeldSummary | None:
    """The message in the quarantine, if it was held."""
    try:
        return (await visit.parts.quarantine.held(id, visit.person.reach)).summary
    except NotFound:
        return None


async def _label(visit: Visit) -> Response:
    verb = next((verb for verb in _LABELS if verb == visit.field("do")), None)
    ids = [MessageId(id) for id in visit.fields("id") if is_id(id)]
    if verb is None or not ids:
        raise UsageError(visit.texts("history.mark_some"))
    began = visit.parts.clock.now()
    for id in ids:
        await visit.parts.actions.act(visit.person, verb, id)
    return visit.done(verb.value, len(ids), began, local_path(visit.field("back", "/history")))


async def _campaigns(visit: Visit) -> Response:
    since = visit.parts.clock.now() - timedelta(days=CAMPAIGN_DAYS)
    found = await visit.parts.review.campaigns(visit.person.reach, since)
    return visit.page("campaigns.html", campaigns=found[:PAGE_ROWS], days=CAMPAIGN_DAYS)


async def _act_on_campaign(visit: Visit) -> Response:
    """Label one message of a campaign, which acts on all near copies; or do a verb to all of it that is held."""
    began, id = visit.parts.clock.now(), visit.field("id")
    verb = next((verb for verb in Verb if verb == visit.field("do")), None)
    since = began - timedelta(days=CAMPAIGN_DAYS)
    found = [c for c in await visit.parts.review.campaigns(visit.person.reach, since) if id in c.messages]
    if verb is None or not found:
        raise NotFound("no such campaign")
    messages = _meant(found[0], verb)
    done = 0
    for message in messages:
        try:
            await visit.parts.actions.act(visit.person, verb, message)
        except (NotFound, UsageError):
            # Somebody else was faster with this one.
            continue
        done += 1
    return visit.done(verb.value, done, began, "/campaigns")


def _meant(campaign: Campaign, verb: Verb) -> tuple[MessageId, ...]:
    return campaign.messages[:1] if verb in _LABELS else campaign.held[:MAX_CAMPAIGN]


def _address(kept: Mapping[str, str]) -> str:
    return "/history" + (f"?{urllib.parse.urlencode(kept)}" if kept else "")

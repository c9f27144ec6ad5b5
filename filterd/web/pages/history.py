"""Every verdict, also of what passed: the list, one message, and the label that people give it."""

from __future__ import annotations

from datetime import timedelta

from starlette.responses import Response
from starlette.routing import Route

from filterd.actions import Verb
from filterd.core.access import Role
from filterd.core.envelope import MessageId
from filterd.core.verdict import Action, Reason
from filterd.errors import NotFound, UsageError
from filterd.ports import HeldSummary
from filterd.review_ports import Campaign, VerdictQuery
from filterd.web.asking import Asked
from filterd.web.fields import marked_ids, message_id
from filterd.web.guard import Visit, local_path, visited
from filterd.web.menu import roles_of
from filterd.web.paging import page_of
from filterd.web.parts import WebParts
from filterd.web.why import explained

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
    asked = Asked.by(visit, _FIELDS)
    query = VerdictQuery(
        actions=frozenset(action for action in Action if action == asked.fields["action"]),
        reasons=frozenset(reason for reason in Reason if reason == asked.fields["reason"]),
        limit=PAGE_ROWS + 1,
        **asked.query,
    )
    rows, last = page_of(await visit.parts.review.history(query), PAGE_ROWS)
    return visit.page(
        "history.html",
        asked=asked.fields,
        rows=rows,
        actions=tuple(Action),
        reasons=tuple(Reason),
        **asked.links(last),
    )


async def _show(visit: Visit) -> Response:
    parts, id = visit.parts, message_id(visit)
    rows = await parts.review.verdicts(id, visit.person.reach)
    whys = [await explained(row, parts.examples) for row in rows]
    return visit.page("verdict.html", id=id, whys=whys, held=await _held(visit, id))


async def _held(visit: Visit, id: MessageId) -> HeldSummary | None:
    """The message in the quarantine, if it was held."""
    try:
        return (await visit.parts.quarantine.held(id, visit.person.reach)).summary
    except NotFound:
        return None


async def _label(visit: Visit) -> Response:
    verb = next((verb for verb in _LABELS if verb == visit.field("do")), None)
    ids = marked_ids(visit)
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

"""Held messages: the list, one of them, and what is done with them."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from filterd.actions import Verb
from filterd.core.envelope import Channel
from filterd.core.mail_view import MailView
from filterd.core.verdict import Reason
from filterd.errors import FilterdError, NotFound, ScanFailed, TemporaryError, Unscannable, UsageError
from filterd.ports import HeldMessage
from filterd.review_ports import COUNT_LIMIT, HeldQuery, Keeping
from filterd.web.asking import Asked
from filterd.web.fields import marked_ids, message_id
from filterd.web.guard import Visit, local_path, visited
from filterd.web.parts import WebParts
from filterd.web.reading import read_held
from filterd.web.render import HEADERS
from filterd.web.why import Why, explained, marked

PAGE_ROWS = 50
MAX_MARKED = 200
REASONS = (Reason.SPAM, Reason.REPORTED, Reason.DENIED, Reason.UNSCANNABLE, Reason.SCAN_DOWN)
"""Why messages are held."""
_FIELDS = ("q", "sender", "recipient", "subject", "since", "until", "reason", "channel", "least", "most", "state")
_ACTING = frozenset((Verb.RELEASE, Verb.TEACH, Verb.ALLOW, Verb.BLOCK, Verb.DELETE))
_PREVIEW_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"


def quarantine_pages(parts: WebParts) -> list[Route]:
    """What is at /quarantine."""
    return [
        Route("/quarantine", visited(parts, _list), methods=["GET"]),
        Route("/quarantine", visited(parts, _act), methods=["POST"]),
        Route("/quarantine/{id}", visited(parts, _show), methods=["GET"]),
        Route("/quarantine/{id}/preview", visited(parts, _preview), methods=["GET"]),
        Route("/quarantine/{id}/raw", visited(parts, _raw), methods=["GET"]),
    ]


async def _list(visit: Visit) -> Response:
    asked = Asked.by(visit, _FIELDS)
    state = next((each for each in Keeping if each == asked.fields["state"]), Keeping.HELD)
    query = HeldQuery(
        subject=asked.fields["subject"],
        reasons=frozenset(reason for reason in REASONS if reason == asked.fields["reason"]),
        states=state.states,
        limit=PAGE_ROWS + 1,
        **asked.query,
    )
    page = await visit.parts.review.page_held(query)
    found = page.held
    return visit.page(
        "quarantine.html",
        asked={**asked.fields, "state": state.value},
        held=found[:PAGE_ROWS],
        reasons=REASONS,
        count=page.count,
        is_more=page.count >= COUNT_LIMIT,
        **asked.links(found[PAGE_ROWS - 1].id if len(found) > PAGE_ROWS else None),
    )


async def _show(visit: Visit) -> Response:
    held = await visit.parts.quarantine.held(message_id(visit), visit.person.reach)
    mail, unread = (None, "unread") if not visit.person.may_read else await _read(visit.parts, held)
    found = await _why(visit, held)
    return visit.page(
        "message.html",
        held=held.summary,
        mail=mail,
        text=marked(mail.text, found.words if found else ()) if mail else (),
        unread=unread,
        why=found,
        is_previewed="preview" in visit.request.query_params,
    )


async def _why(visit: Visit, held: HeldMessage) -> Why | None:
    """The verdict that held it; None where it has been deleted meanwhile."""
    parts = visit.parts
    try:
        rows = await parts.review.verdicts(held.envelope.id, visit.person.reach)
    except NotFound:
        return None
    row = next((row for row in rows if row.outcome == "held"), rows[0])
    return await explained(row, parts.examples)


async def _read(parts: WebParts, held: HeldMessage) -> tuple[MailView | None, str]:
    """What is in it; or None and why not, as a key of the catalogue."""
    try:
        return await read_held(held, parts.reader), ""
    except Unscannable:
        return None, "unreadable"
    except (ScanFailed, TemporaryError):
        return None, "busy"


async def _preview(visit: Visit) -> Response:
    """The safe form of its HTML, for a frame that may run, load and send nothing."""
    held = await _readable(visit)
    mail, unread = await _read(visit.parts, held)
    if mail is None:
        raise NotFound(unread)
    frame = {"content-security-policy": _PREVIEW_POLICY, "x-frame-options": "SAMEORIGIN"}
    return Response(mail.html, headers={**HEADERS, **frame}, media_type="text/html; charset=utf-8")


async def _raw(visit: Visit) -> Response:
    """The message as it came, as a file that no browser opens by itself."""
    held = await _readable(visit)
    is_mail = held.envelope.channel is Channel.EMAIL
    name = f"{held.summary.id}.{'eml' if is_mail else 'txt'}"
    headers = {**HEADERS, "content-disposition": f'attachment; filename="{name}"'}
    return Response(held.raw, headers=headers, media_type="application/octet-stream")


async def _readable(visit: Visit) -> HeldMessage:
    if not visit.person.may_read:
        raise NotFound("no such message")
    return await visit.parts.quarantine.held(message_id(visit), visit.person.reach)


async def _act(visit: Visit) -> Response:
    """One verb for all messages that are marked; what cannot be done for one does not keep the others."""
    verb = next((verb for verb in _ACTING if verb == visit.field("do")), None)
    ids = marked_ids(visit)
    if verb is None or not 0 < len(ids) <= MAX_MARKED:
        raise UsageError(visit.texts("quarantine.mark_some", n=MAX_MARKED))
    began, done, failed = visit.parts.clock.now(), 0, list[FilterdError]()
    for id in ids:
        try:
            await visit.parts.actions.act(visit.person, verb, id)
        except (UsageError, TemporaryError) as exc:
            failed.append(exc)
        else:
            done += 1
    if not done:
        raise failed[0]
    return visit.done(verb.value, done, began, local_path(visit.field("back", "/quarantine")))

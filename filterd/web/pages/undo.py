"""What somebody has just done, taken back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from starlette.responses import Response
from starlette.routing import Route

from filterd.core.envelope import MessageId
from filterd.deed_ports import DeedKind, Selection
from filterd.errors import NotFound, UsageError
from filterd.web.fields import marked_ids
from filterd.web.guard import Visit, local_path, visited
from filterd.web.parts import WebParts

_KINDS = frozenset(DeedKind) - {DeedKind.PROMOTION}
"""Models are rolled back on their own page."""
LONGEST = timedelta(hours=1)
"""A button takes back what one form did, not a day's work."""


def undo_pages(parts: WebParts) -> list[Route]:
    """What is at /undo and /restore."""
    return [
        Route("/undo", visited(parts, _undo), methods=["POST"]),
        Route("/restore", visited(parts, _restore), methods=["POST"]),
    ]


async def _undo(visit: Visit) -> Response:
    """Take back everything the person did in a span of time: labels, rules, what releases taught, deletions."""
    since, until = _span(visit)
    me = visit.person.name
    back = local_path(visit.field("back", "/"))
    put_back = await _put_back(visit, await visit.parts.bin.deleted_by(me, since, until))
    taken = await visit.parts.undoing.undo(Selection(by=me, since=since, until=until, kinds=_KINDS), me)
    undone = taken.undone
    if not (put_back or undone.labels or undone.rules or undone.releases):
        raise UsageError(visit.texts("undo.nothing"))
    return visit.back(back, said="undone_release" if undone.releases else "undone")


async def _restore(visit: Visit) -> Response:
    """Put deleted messages back into the quarantine."""
    ids = marked_ids(visit)
    if not visit.person.may_act or not ids:
        raise UsageError(visit.texts("undo.nothing"))
    if not await _put_back(visit, ids):
        raise NotFound(visit.texts("undo.gone"))
    return visit.back("/quarantine", said="restored", n=str(len(ids)))


async def _put_back(visit: Visit, ids: Sequence[MessageId]) -> int:
    count = 0
    for id in ids:
        try:
            await visit.parts.bin.restore(id, visit.person.name, visit.person.reach)
        except (NotFound, UsageError):
            # Its body is gone by now, or somebody else was faster.
            continue
        count += 1
    return count


def _span(visit: Visit) -> tuple[datetime, datetime]:
    first, _, last = visit.field("span").partition("~")
    try:
        since, until = datetime.fromisoformat(first), datetime.fromisoformat(last)
    except ValueError:
        raise UsageError(visit.texts("undo.nothing")) from None
    if since.tzinfo is None or until.tzinfo is None or not timedelta() < until - since <= LONGEST:
        raise UsageError(visit.texts("undo.nothing"))
    return since, until

"""The pages at /models: the bundles of each channel, promoted, rolled back and tried."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route

from filterd.core.access import Role
from filterd.core.envelope import Channel
from filterd.core.verdict import Evidence
from filterd.errors import NotFound, UsageError
from filterd.inference.shelf import Shelf, papers_of
from filterd.model_ports import Disagreement, Trial
from filterd.ports import VerdictRow
from filterd.promotion import Change
from filterd.web.card import card_html
from filterd.web.guard import Visit, visited
from filterd.web.menu import roles_of
from filterd.web.model_charts import caught, learned, lost
from filterd.web.model_parts import carried_out
from filterd.web.parts import WebParts

_DISAGREEMENTS = 10
_WORDS = 5
_ADMINISTRATOR = frozenset((Role.ADMINISTRATOR,))


def model_pages(parts: WebParts) -> list[Route]:
    """What is under /models."""
    own, readers = "/models/{channel}", roles_of("models", parts.settings)
    return [
        Route("/models", visited(parts, _list, readers), methods=["GET"]),
        Route(f"{own}/roll-back", visited(parts, _ask_roll_back, _ADMINISTRATOR), methods=["GET"]),
        Route(f"{own}/roll-back", visited(parts, _roll_back, _ADMINISTRATOR), methods=["POST"]),
        Route(f"{own}/trial", visited(parts, _try_out, _ADMINISTRATOR), methods=["POST"]),
        Route(f"{own}/trial/end", visited(parts, _end_trial, _ADMINISTRATOR), methods=["POST"]),
        Route(f"{own}/{{id}}", visited(parts, _show, readers), methods=["GET"]),
        Route(f"{own}/{{id}}/promote", visited(parts, _ask_promote, _ADMINISTRATOR), methods=["GET"]),
        Route(f"{own}/{{id}}/promote", visited(parts, _promote, _ADMINISTRATOR), methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Disagreed:
    """A message that the candidate would have treated otherwise."""

    found: Disagreement
    verdict: VerdictRow
    words: tuple[Evidence, ...]


async def _list(visit: Visit) -> Response:
    models = visit.parts.models
    shelves = [await models.shelf(channel) for channel in Channel]
    disagreed = {shelf.channel: await _disagreed(visit, shelf) for shelf in shelves}
    return visit.page("models.html", shelves=shelves, serving=models.serving(), disagreed=disagreed)


async def _disagreed(visit: Visit, shelf: Shelf) -> Sequence[_Disagreed]:
    rows = []
    for found in await visit.parts.models.disagreements(shelf, _DISAGREEMENTS):
        # What was erased meanwhile is not asked about.
        with contextlib.suppress(NotFound):
            verdict = (await visit.parts.ledger.verdicts(found.message))[0]
            words = verdict.evidence[:_WORDS] if visit.person.may_read else ()
            rows.append(_Disagreed(found=found, verdict=verdict, words=words))
    return rows


async def _show(visit: Visit) -> Response:
    shelf = await _shelf(visit)
    version = shelf.find(visit.request.path_params["id"])
    papers = await asyncio.to_thread(papers_of, version)
    texts, report = visit.texts, papers.report
    return visit.page(
        "model.html",
        shelf=shelf,
        version=version,
        papers=papers,
        card=card_html(papers.card),
        ranks=[draw(report, texts) for draw in (caught, lost) if report.corpora],
        curves=learned(report, texts),
    )


async def _ask_promote(visit: Visit) -> Response:
    shelf = await _shelf(visit)
    version = shelf.find(visit.request.path_params["id"])
    return visit.page("model_change.html", shelf=shelf, new=version.id, change="promote")


async def _promote(visit: Visit) -> Response:
    channel, id = _channel(visit), visit.request.path_params["id"]
    seen = visit.field("instead_of")
    change = visit.parts.models.promoter.promote(channel, id, visit.person.name, instead_of=seen)
    return await _changed(visit, change, "promoted")


async def _ask_roll_back(visit: Visit) -> Response:
    shelf = await _shelf(visit)
    if not shelf.previous:
        raise UsageError(visit.texts("models.no_previous"))
    return visit.page("model_change.html", shelf=shelf, new=shelf.previous, change="roll_back")


async def _roll_back(visit: Visit) -> Response:
    change = visit.parts.models.promoter.roll_back(_channel(visit), visit.person.name, to=visit.field("to"))
    return await _changed(visit, change, "rolled_back")


async def _try_out(visit: Visit) -> Response:
    try:
        share = float(visit.field("share")) / 100
    except ValueError:
        raise UsageError(visit.texts("models.no_share")) from None
    trial = Trial(id=visit.field("id"), share=share, decides=visit.field("decides") == "yes")
    change = visit.parts.models.promoter.try_out(_channel(visit), trial, visit.person.name)
    return await _changed(visit, change, "trial_begun")


async def _end_trial(visit: Visit) -> Response:
    change = visit.parts.models.promoter.end_trial(_channel(visit), visit.person.name)
    return await _changed(visit, change, "trial_ended")


async def _changed(visit: Visit, change: Awaitable[Change], said: str) -> Response:
    changed = await carried_out(change)
    return visit.back("/models", said="unaudited" if changed.unaudited else said)


async def _shelf(visit: Visit) -> Shelf:
    return await visit.parts.models.shelf(_channel(visit))


def _channel(visit: Visit) -> Channel:
    try:
        return Channel(visit.request.path_params["channel"])
    except ValueError:
        raise NotFound("no such channel") from None

"""What people set for themselves, or for those they look after: a threshold with a preview, and lists of senders."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import Route

from filterd.core.access import Person, Role
from filterd.core.overlay import EVERYBODY, OFF, ListEntry, ListKind, RuntimeRule, Thresholds
from filterd.core.threshold_preview import POSITIONS, PREVIEW_DAYS, Outlook
from filterd.errors import NotFound, UsageError
from filterd.rule_ports import RuleRow
from filterd.web.guard import Visit, visited
from filterd.web.menu import roles_of
from filterd.web.outlook import looked_back
from filterd.web.parts import WebParts

PAGE_ENTRIES = 50
MAX_ENTRIES = 50
"""Entries added at once, one a line."""
_MOST_CHARS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPage:
    """A page of one list of senders."""

    rows: Sequence[RuleRow]
    newest: str
    """Address of the first page; empty on that page."""
    older: str
    """Address of the next page; empty on the last."""


def rules_pages(parts: WebParts) -> list[Route]:
    """What is at /rules."""
    roles = roles_of("rules", parts.settings)
    return [
        Route("/rules", visited(parts, _show, roles), methods=["GET"]),
        Route("/rules/preview", visited(parts, _preview, roles), methods=["GET"]),
        Route("/rules/threshold", visited(parts, _set_threshold, roles), methods=["POST"]),
        Route("/rules/entry", visited(parts, _add_entries, roles), methods=["POST"]),
        Route("/rules/revoke", visited(parts, _revoke, roles), methods=["POST"]),
    ]


def scopes(person: Person) -> tuple[str, ...]:
    """For whom one may set rules: everybody, domains, oneself, addresses before numbers."""
    own = tuple(sorted(person.addresses, key=lambda key: ("@" not in key, key)))
    if person.role is Role.ADMINISTRATOR:
        return (EVERYBODY, *own)
    return (*sorted(person.domains), *own) if person.role is Role.MODERATOR else own


async def _show(visit: Visit) -> Response:
    scope = _scope(visit, visit.request.query_params.get("scope"))
    text = visit.request.query_params.get("find", "").strip()[:_MOST_CHARS]
    lists = {kind: await _entries(visit, scope, kind, text) for kind in ListKind}
    standing = await visit.parts.rules.thresholds(scope)
    position = _position(visit.request.query_params.get("at"), standing)
    return visit.page(
        "rules.html",
        scope=scope,
        scopes=scopes(visit.person),
        lists=lists,
        find=text,
        standing=standing,
        position=position,
        positions=POSITIONS,
        outlook=await _outlook(visit, scope, position),
        days=PREVIEW_DAYS,
    )


async def _entries(visit: Visit, scope: str, kind: ListKind, text: str) -> ListPage:
    """The page of one list that is asked for: the newest, or what comes behind ``allow_before`` and its like."""
    name = f"{kind.value}_before"
    before = visit.request.query_params.get(name, "")
    last = int(before) if _is_number(before) else None
    rows = await visit.parts.rules.entries(scope, kind, text=text, before=last, limit=PAGE_ENTRIES + 1)
    kept = rows[:PAGE_ENTRIES]
    asked = {"scope": scope} | ({"find": text} if text else {})
    return ListPage(
        rows=kept,
        newest="" if last is None else _address(asked, kind),
        older=_address(asked | {name: str(kept[-1].id)}, kind) if len(rows) > PAGE_ENTRIES else "",
    )


async def _preview(visit: Visit) -> Response:
    """The part of the page that follows the slider."""
    scope = _scope(visit, visit.request.query_params.get("scope"))
    position = _position(visit.request.query_params.get("at"), None)
    return visit.page(
        "_outlook.html",
        outlook=await _outlook(visit, scope, position),
        position=position,
        positions=POSITIONS,
        days=PREVIEW_DAYS,
    )


async def _outlook(visit: Visit, scope: str, position: int) -> Outlook:
    """What the threshold at this position would have done; the one behind the last holds nothing."""
    at = POSITIONS[position] if position < len(POSITIONS) else 2.0
    return (await looked_back(visit.parts.review, scope, visit.parts.clock.now(), (at,)))[0]


async def _set_threshold(visit: Visit) -> Response:
    began, scope = visit.parts.clock.now(), _scope(visit, visit.field("scope"))
    position = _position(visit.field("at"), None)
    at = POSITIONS[position] if position < len(POSITIONS) else OFF
    await _give(visit, [Thresholds.of(scope, quarantine_at=at)])
    return visit.done("threshold", 1, began, _address({"scope": scope}))


async def _add_entries(visit: Visit) -> Response:
    """Entries are separated by white space or commas."""
    began, scope = visit.parts.clock.now(), _scope(visit, visit.field("scope"))
    kind = ListKind.ALLOW if visit.field("kind") == ListKind.ALLOW else ListKind.DENY
    texts = visit.field("entries").replace(",", " ").split()
    if not 0 < len(texts) <= MAX_ENTRIES:
        raise UsageError(visit.texts("rules.some_entries", n=MAX_ENTRIES))
    try:
        entries = [ListEntry.of(scope, kind, text) for text in texts]
    except ValueError as exc:
        raise UsageError(str(exc)) from None
    await _give(visit, entries)
    return visit.done(kind.value, len(entries), began, _address({"scope": scope}))


async def _give(visit: Visit, rules: Sequence[RuntimeRule]) -> None:
    for rule in rules:
        await visit.parts.rule_desk.give(rule, visit.person.name)


async def _revoke(visit: Visit) -> Response:
    began = visit.parts.clock.now()
    number = visit.field("rule")
    if not _is_number(number):
        raise NotFound("no such rule")
    row = await visit.parts.rules.find(int(number))
    scope = row.given.rule.scope
    if scope not in scopes(visit.person):
        # The same as for one that is not there.
        raise NotFound("no such rule")
    await visit.parts.rule_desk.take_back(row.id, visit.person.name)
    return visit.done("revoked", 1, began, _address({"scope": scope}))


def _scope(visit: Visit, asked: str | None) -> str:
    """Raises NotFound for a scope that is not theirs."""
    own = scopes(visit.person)
    if not own:
        raise UsageError(visit.texts("rules.nobody"))
    if asked is None:
        return own[0]
    if asked not in own:
        raise NotFound("no such recipient")
    return asked


def _position(text: str | None, standing: RuleRow | None) -> int:
    """Of the slider, [0, len(POSITIONS)]: what is asked for, else what stands, else the middle."""
    if text is not None and text.isascii() and text.isdigit() and len(text) < 4:
        return min(int(text), len(POSITIONS))
    at = standing.given.rule.quarantine_at if standing and isinstance(standing.given.rule, Thresholds) else None
    if at == OFF:
        return len(POSITIONS)
    if isinstance(at, float):
        return min(range(len(POSITIONS)), key=lambda i: abs(POSITIONS[i] - at))
    return POSITIONS.index(0.98)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def _address(asked: Mapping[str, str], fragment: str = "") -> str:
    return f"/rules?{urllib.parse.urlencode(asked)}" + (f"#{fragment}" if fragment else "")

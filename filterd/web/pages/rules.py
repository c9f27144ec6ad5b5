"""What people set for themselves, or for those they look after: a threshold with a preview, and lists of senders."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence
from datetime import timedelta

from starlette.responses import Response
from starlette.routing import Route

from filterd.core.access import Person, Reach, Role
from filterd.core.envelope import domain_of
from filterd.core.overlay import EVERYBODY, OFF, ListEntry, ListKind, RuntimeRule, Thresholds
from filterd.core.threshold_preview import POSITIONS, Outlook, outlooks
from filterd.errors import NotFound, UsageError
from filterd.rule_ports import RuleRow
from filterd.web.guard import Visit, visited
from filterd.web.menu import roles_of
from filterd.web.parts import WebParts

PREVIEW_DAYS = 30
MOST_PREVIEWED = 20_000
MOST_RULES = 1_000
MAX_ENTRIES = 50
"""Entries added at once, one a line."""


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
    rules = await visit.parts.rules.list(scope=scope, limit=MOST_RULES)
    lists = {
        kind: [row for row in rules if isinstance(row.given.rule, ListEntry) and row.given.rule.kind is kind]
        for kind in ListKind
    }
    standing = next((row for row in rules if isinstance(row.given.rule, Thresholds)), None)
    position = _position(visit.request.query_params.get("at"), standing)
    return visit.page(
        "rules.html",
        scope=scope,
        scopes=scopes(visit.person),
        lists=lists,
        standing=standing,
        position=position,
        positions=POSITIONS,
        outlook=await _outlook(visit, scope, position),
        days=PREVIEW_DAYS,
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
    since = visit.parts.clock.now() - timedelta(days=PREVIEW_DAYS)
    judged = await visit.parts.review.judged(_reach(scope), since, most=MOST_PREVIEWED)
    at = POSITIONS[position] if position < len(POSITIONS) else 2.0
    return outlooks(judged, (at,))[0]


async def _set_threshold(visit: Visit) -> Response:
    began, scope = visit.parts.clock.now(), _scope(visit, visit.field("scope"))
    position = _position(visit.field("at"), None)
    at = POSITIONS[position] if position < len(POSITIONS) else OFF
    await _give(visit, [Thresholds.of(scope, quarantine_at=at)])
    return visit.done("threshold", 1, began, _address(scope))


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
    return visit.done(kind.value, len(entries), began, _address(scope))


async def _give(visit: Visit, rules: Sequence[RuntimeRule]) -> None:
    for rule in rules:
        await visit.parts.rule_desk.give(rule, visit.person.name)


async def _revoke(visit: Visit) -> Response:
    began = visit.parts.clock.now()
    number = visit.field("rule")
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        raise NotFound("no such rule")
    row = await visit.parts.rules.find(int(number))
    scope = row.given.rule.scope
    if scope not in scopes(visit.person):
        # The same as for one that is not there.
        raise NotFound("no such rule")
    await visit.parts.rule_desk.take_back(row.id, visit.person.name)
    return visit.done("revoked", 1, began, _address(scope))


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


def _reach(scope: str) -> Reach:
    if scope == EVERYBODY:
        return Reach(is_everybody=True)
    is_address = bool(domain_of(scope)) or scope.isdigit()
    return Reach(addresses=frozenset((scope,))) if is_address else Reach(domains=frozenset((scope,)))


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


def _address(scope: str) -> str:
    return f"/rules?{urllib.parse.urlencode({'scope': scope})}"

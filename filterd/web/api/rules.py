"""Rules set at run time: who always or never gets through, and from where on mail is tagged or held."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from starlette.exceptions import HTTPException

from filterd.account_ports import Scope, Token
from filterd.core.overlay import (
    EVERYBODY,
    ListEntry,
    ListKind,
    RuntimeRule,
    Thresholds,
    known_entry,
    known_scope,
    known_threshold,
)
from filterd.core.policy import Threshold
from filterd.core.threshold_preview import PREVIEW_DAYS
from filterd.rule_desk import RuleDesk
from filterd.rule_ports import RuleOrigin, RuleRow
from filterd.web.api.document import problems
from filterd.web.api.parts import MAX_PAGE, Body, RulesToken, message_id, parts_of
from filterd.web.auth import may
from filterd.web.outlook import looked_back

_LARGEST_ID = 2**63 - 1


def _sender(text: str) -> str:
    try:
        return known_entry(text)
    except ValueError:
        # Its own words repeat the text.
        raise ValueError("not an address, domain, phone number or network") from None


RuleScope = Annotated[str, AfterValidator(known_scope)]
"""A recipient address, number or domain; empty for everybody."""
At = Annotated[Threshold | None, AfterValidator(known_threshold)]


class _RuleIn(Body):
    scope: RuleScope
    message: str = ""
    """The message it is given at."""


class EntryIn(_RuleIn):
    """A sender to allow or to block."""

    kind: Literal[ListKind.ALLOW, ListKind.DENY]
    entry: Annotated[str, AfterValidator(_sender)]
    """An address, a domain with those below it, a phone number or a network."""

    @property
    def rule(self) -> RuntimeRule:
        """The rule that is meant."""
        return ListEntry.of(self.scope, self.kind, self.entry)


class ThresholdsIn(_RuleIn):
    """From where on mail is tagged and held; what is left out stays as it is."""

    kind: Literal["thresholds"]
    tag_at: At = None
    quarantine_at: At = None
    enabled: bool | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        """Raises ValueError where nothing is said."""
        _ = self.rule
        return self

    @property
    def rule(self) -> RuntimeRule:
        """The rule that is meant."""
        return Thresholds.of(self.scope, tag_at=self.tag_at, quarantine_at=self.quarantine_at, is_enabled=self.enabled)


class RuleOut(BaseModel):
    """A rule in the book."""

    id: int
    scope: str
    kind: ListKind | Literal["thresholds"]
    entry: str = ""
    tag_at: Threshold | None = None
    quarantine_at: Threshold | None = None
    enabled: bool | None = None
    by: str
    given_at: datetime
    origin: RuleOrigin
    message: str | None
    revoked_at: datetime | None
    revoked_by: str


class AddedOut(RuleOut):
    """A rule that stands."""

    new: bool


class RulePage(BaseModel):
    """A part of the book, newest first."""

    rules: tuple[RuleOut, ...]
    next: int | None
    """What to give as ``before`` for the next page."""


class PositionOut(BaseModel):
    """What a threshold would have done with the messages of the last days."""

    model_config = ConfigDict(from_attributes=True)
    threshold: float
    held: int
    """Messages at or above it."""
    held_wanted: int
    """Those of them that people released or called ham."""
    passed_spam: int
    """Messages below it that people reported as spam."""


class PreviewOut(BaseModel):
    """Every position of the slider."""

    days: int
    messages: int
    """Scored messages of these days; of more than 20,000 the newest."""
    positions: tuple[PositionOut, ...]


def rule_routes() -> APIRouter:
    """What is under /rules."""
    router = APIRouter()
    router.add_api_route("/rules", list_rules, methods=["GET"])
    router.add_api_route("/rules/preview", preview, methods=["GET"])
    errors = problems(404, 409)
    again = {200: {"model": AddedOut, "description": "It stands already."}} | errors
    router.add_api_route("/rules", add_rule, methods=["POST"], status_code=201, responses=again)
    router.add_api_route("/rules/{id}", revoke_rule, methods=["DELETE"], status_code=204, responses=errors)
    return router


async def list_rules(
    request: Request,
    token: RulesToken,  # noqa: ARG001  # checked on the way in
    scope: Annotated[RuleScope | None, Query()] = None,
    revoked: bool = False,  # noqa: FBT001, FBT002  # a query parameter
    before: Annotated[int | None, Query(ge=1, le=_LARGEST_ID)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> RulePage:
    """Rules that stand, or with ``revoked=1`` all, newest first; of one scope, or of all."""
    book = parts_of(request).rules
    found = await book.list(scope=scope, has_revoked=revoked, before=before, limit=limit + 1)
    page = found[:limit]
    return RulePage(rules=tuple(map(shown, page)), next=page[-1].id if len(found) > limit else None)


async def preview(request: Request, token: RulesToken, scope: Annotated[RuleScope, Query()] = "") -> PreviewOut:
    """What other thresholds would have done for a scope in the last 30 days; of everybody with an empty one."""
    _check(scope, token)
    parts = parts_of(request)
    found = await looked_back(parts.review, scope, parts.clock.now())
    positions = tuple(map(PositionOut.model_validate, found))
    return PreviewOut(days=PREVIEW_DAYS, messages=found[0].total, positions=positions)


async def add_rule(
    request: Request,
    response: Response,
    body: Annotated[EntryIn | ThresholdsIn, Field(discriminator="kind")],
    token: RulesToken,
) -> AddedOut:
    """Allow or block a sender, or set thresholds. 201 the first time, 200 when the entry stands already."""
    _check(body.scope, token)
    message = message_id(body.message) if body.message else None
    added = await _desk(request).give(body.rule, token.name, message)
    response.status_code = 201 if added.is_new else 200
    row = await parts_of(request).rules.find(added.id)
    return AddedOut(**shown(row).model_dump(), new=added.is_new)


async def revoke_rule(request: Request, id: Annotated[int, Path(ge=1, le=_LARGEST_ID)], token: RulesToken) -> None:
    """Take a rule back: what it did ends within two seconds. 409 when it was revoked already."""
    row = await parts_of(request).rules.find(id)
    _check(row.given.rule.scope, token)
    await _desk(request).take_back(id, token.name)


def shown(row: RuleRow) -> RuleOut:
    """The rule as the API shows it."""
    given, rule = row.given, row.given.rule
    said: dict[str, Any] = (
        {"kind": rule.kind, "entry": rule.entry}
        if isinstance(rule, ListEntry)
        else {
            "kind": "thresholds",
            "tag_at": rule.tag_at,
            "quarantine_at": rule.quarantine_at,
            "enabled": rule.is_enabled,
        }
    )
    return RuleOut(
        id=row.id,
        scope=rule.scope,
        by=given.by,
        given_at=given.given_at,
        origin=given.origin,
        message=given.message,
        revoked_at=row.revoked_at,
        revoked_by=row.revoked_by,
        **said,
    )


def _check(scope: str, token: Token) -> None:
    """What is everybody's is an administrator's."""
    if scope == EVERYBODY and not may(token, Scope.ADMIN):
        raise HTTPException(403)


def _desk(request: Request) -> RuleDesk:
    parts = parts_of(request)
    return RuleDesk(parts.rules, origin=RuleOrigin.API, clock=parts.clock, events=parts.events)

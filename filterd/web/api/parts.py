"""What every part of the API has in common: what it works on, who calls, and how a message is named and shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from filterd.account_ports import Accounts, Scope, Token, TokenStore
from filterd.actions import Actions
from filterd.checking import Checking
from filterd.core.envelope import MessageId, is_message_id
from filterd.errors import NotFound
from filterd.feedback_ports import Examples, FeedbackLedger
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.ports import Clock, HeldSummary, Quarantine, VerdictRow
from filterd.quality_ports import Questions
from filterd.release import Releaser
from filterd.review_ports import Bin, MailReader, Review
from filterd.rule_ports import RuleBook
from filterd.undoing import Undoing
from filterd.web.auth import identify, may
from filterd.web.figures import FigureParts
from filterd.web.model_parts import ModelParts
from filterd.web.passwords import Passwords

MAX_PAGE = 200
"""Rows of one answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    """What the API works on."""

    quarantine: Quarantine
    ledger: FeedbackLedger
    examples: Examples
    tokens: TokenStore
    accounts: Accounts
    passwords: Passwords
    reader: MailReader
    questions: Questions
    rules: RuleBook
    undoing: Undoing
    models: ModelParts
    figures: FigureParts
    review: Review
    bin: Bin
    actions: Actions
    checking: Checking
    releaser: Releaser
    clock: Clock
    metrics: Metrics
    events: Events


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("beyond the calendar") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time with its zone, in UTC."""


class Body(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class _Bearer(HTTPBearer):
    """Lets bearers of a token with one of the scopes in."""

    def __init__(self, *scopes: Scope) -> None:
        super().__init__(scheme_name="bearer", description="``filterd token create NAME --scope SCOPE``")
        self._scopes = scopes

    async def __call__(self, request: Request) -> Token:  # type: ignore[override]  # who it is, not what was sent
        token = await identify(request.headers.get("authorization", ""), parts_of(request).tokens)
        if token is None:
            raise HTTPException(401, headers={"www-authenticate": "Bearer"})
        if not any(may(token, scope) for scope in self._scopes):
            raise HTTPException(403)
        return token


FeedbackToken = Annotated[Token, Depends(_Bearer(Scope.FEEDBACK))]
QuarantineToken = Annotated[Token, Depends(_Bearer(Scope.QUARANTINE))]
RulesToken = Annotated[Token, Depends(_Bearer(Scope.RULES))]
AdminToken = Annotated[Token, Depends(_Bearer(Scope.ADMIN))]
CheckToken = Annotated[Token, Depends(_Bearer(Scope.CHECK))]
UndoToken = Annotated[Token, Depends(_Bearer(Scope.FEEDBACK, Scope.QUARANTINE, Scope.RULES))]


def parts_of(request: Request) -> ApiParts:
    """What the application of ``request`` works on."""
    parts = request.state.parts
    assert isinstance(parts, ApiParts)
    return parts


def message_id(text: str) -> MessageId:
    """Raises NotFound for what cannot be an id: to the caller it is one more that does not exist."""
    if not is_message_id(text):
        raise NotFound("no such message")
    return MessageId(text)


def clean(value: HeldSummary | VerdictRow) -> dict[str, Any]:
    """The fields of ``value``; octets of an address that are no text, which JSON cannot hold, replaced."""
    fields = {name: getattr(value, name) for name in value.__slots__}
    replaced = {name: text_of(field) for name, field in fields.items() if type(field) is str}
    return fields | replaced | {"recipients": tuple(text_of(r) for r in value.recipients)}


def text_of(value: str) -> str:
    """``value`` with what is no text replaced."""
    return value.encode("utf-8", "replace").decode()

"""What is done with held messages beside releasing and deleting them: what the pages do, for programs."""

from __future__ import annotations

from enum import StrEnum

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from filterd.account_ports import Scope, Token
from filterd.actions import Done, Verb
from filterd.core.access import Person, Role
from filterd.core.envelope import MessageId, address_key
from filterd.web.api.document import problems
from filterd.web.api.parts import ApiParts, QuarantineToken, message_id, parts_of
from filterd.web.auth import may


class HeldVerb(StrEnum):
    """What can be done."""

    TEACH = "teach"
    """Deliver it and call it ham: near copies pass from now on."""
    ALLOW = "allow"
    """Deliver it, and whatever else its sender sends."""
    BLOCK = "block"
    """Delete it, and hold whatever else its sender sends."""
    RESTORE = "restore"
    """Put a deleted message back, as long as its body is kept."""


class ActedOut(BaseModel):
    """What was done, and what can be taken back."""

    id: str
    verb: HeldVerb
    rules: tuple[int, ...]
    """Numbers of the rules given."""
    labelled: bool
    deleted: bool


def act_routes() -> APIRouter:
    """The verbs under /quarantine/ID; behind those that have a path of their own."""
    router = APIRouter()
    errors = problems(404, 409, 502)
    router.add_api_route("/quarantine/{id}/{verb}", act, methods=["POST"], responses=errors)
    return router


async def act(request: Request, id: str, verb: HeldVerb, token: QuarantineToken) -> ActedOut:
    """Deliver a message and learn from it, allow or block its sender, or put a deleted one back.

    ``allow`` and ``block`` give rules for everybody with the scope admin, and with the scope rules for the recipients
    of the message; without either they are refused. 502 with the next hop's words when it does not take the message.
    """
    parts, meant = parts_of(request), message_id(id)
    person = await _person(parts, token, verb, meant)
    if verb is HeldVerb.RESTORE:
        await parts.bin.restore(meant, person.name, person.reach)
        done = Done(message=meant)
    else:
        done = await parts.actions.act(person, Verb(verb.value), meant)
    return ActedOut(id=id, verb=verb, rules=done.rules, labelled=done.is_labelled, deleted=done.is_deleted)


async def _person(parts: ApiParts, token: Token, verb: HeldVerb, id: MessageId) -> Person:
    """Whom the token stands for: somebody who reaches all of the message, and gives no rules beyond its scopes."""
    if verb in {HeldVerb.TEACH, HeldVerb.RESTORE} or may(token, Scope.ADMIN):
        return Person(name=token.name, role=Role.ADMINISTRATOR)
    if not may(token, Scope.RULES):
        raise HTTPException(403)
    recipients = (await parts.quarantine.held(id)).summary.recipients
    return Person(name=token.name, role=Role.USER, addresses=frozenset(map(address_key, recipients)))

"""Any text or message judged, and neither stored nor delivered.

A message may be as large as one that comes by SMTP. Such a body is read only for who has a token and for a few at a
time, so that strangers cannot fill the memory.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from filterd.beside import beside_loop
from filterd.core.envelope import Channel
from filterd.core.verdict import Action, Decision, Reason
from filterd.web.api.document import problems
from filterd.web.api.parts import Body, CheckToken, parts_of, text_of
from filterd.web.api.verdicts import PartOut

READ_SECONDS = 30.0
"""For a whole body to arrive: as long as it takes, it has one of few places."""
_BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_TEXT_HEADER = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
Address = Annotated[str, Field(max_length=320)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A message and who it would be from and to."""

    channel: Channel
    raw: bytes
    sender: str
    recipient: str


class CheckIn(Body):
    """A message as JSON: either its text or all of it."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["text"]}, {"required": ["raw"]}]})

    channel: Channel
    text: str = ""
    """For mail, the text alone: a message without a header looks odd to the model, so give ``raw`` where you can."""
    raw: Annotated[str, WithJsonSchema({"type": "string", "contentEncoding": "base64", "pattern": _BASE64})] = ""
    """The message as it would be received, in base64."""
    sender: Address = ""
    """Envelope sender, or the originator of an SMS."""
    recipient: Address = ""
    """Whose rules and labels count; empty for those of everybody."""

    @model_validator(mode="after")
    def _says_one(self) -> Self:
        """Raises ValueError where there are both, none, or a ``raw`` that is not base64."""
        if len({"text", "raw"} & self.model_fields_set) != 1:
            raise ValueError("either text or raw")
        try:
            base64.b64decode(self.raw, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("raw is not base64") from None
        return self

    @property
    def asked(self) -> _Asked:
        """What it says."""
        raw = base64.b64decode(self.raw) if self.raw else _of_text(self.channel, self.text.encode("utf-8", "replace"))
        return _Asked(channel=self.channel, raw=raw, sender=self.sender, recipient=self.recipient)


class CheckOut(BaseModel):
    """What would be done, and why."""

    channel: Channel
    action: Action
    reason: Reason
    detail: str
    """The deciding list entry, threshold name or limit."""
    probability: float | None
    """Of spam, [0, 1]; null where the message was not scored."""
    threshold: float | None
    """The probability the action starts at, where a threshold decided."""
    model: str
    """The bundle that scored it; empty where none did."""
    words: tuple[PartOut, ...]
    """What moved the log-odds most; positive speaks for spam."""
    signals: tuple[str, ...]
    """Structural facts, such as ``hidden_text``."""


class _FilterText(BaseModel):
    text: str


class _FilterQuery(BaseModel):
    message: _FilterText
    sender: Address = ""


class FilterIn(BaseModel):
    """What the system of a phone sends for a message filter extension; fields it may add one day are left aside."""

    query: _FilterQuery


class FilterOut(BaseModel):
    """An action of the same name as one of ``ILMessageFilterAction``."""

    action: Literal["allow", "junk", "none"]


_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": CheckIn.model_json_schema()},
            "message/rfc822": _BINARY,
            "text/plain": {"schema": {"type": "string"}},
        },
    }
}


def check_routes() -> APIRouter:
    """What is under /check."""
    router = APIRouter()
    errors = problems(408, 413, 415)
    router.add_api_route("/check", check, methods=["POST"], responses=errors, openapi_extra=_BODY)
    router.add_api_route("/check/message-filter", filter_message, methods=["POST"])
    return router


async def check(
    request: Request,
    token: CheckToken,  # noqa: ARG001  # checked on the way in
    channel: Annotated[Channel | None, Query()] = None,
    sender: Annotated[str, Query(max_length=320)] = "",
    recipient: Annotated[str, Query(max_length=320)] = "",
) -> CheckOut:
    """Judge a message that nobody has sent: nothing is stored, delivered, or learned from it.

    A body of ``message/rfc822`` is mail and one of ``text/plain`` an SMS, unless ``channel`` says otherwise; JSON says
    all of it in the body.
    """
    checking = parts_of(request).checking
    with checking.place():
        asked = await _asked(request, channel, sender, recipient)
        decision = await checking.check(asked.channel, asked.raw, asked.sender, asked.recipient)
    return _shown(asked.channel, decision)


async def _asked(request: Request, channel: Channel | None, sender: str, recipient: str) -> _Asked:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {"application/json", "message/rfc822", "text/plain"}:
        raise HTTPException(415)
    body = await _body(request)
    if kind == "application/json":
        try:
            return await beside_loop(lambda: CheckIn.model_validate_json(body).asked, len(body))
        except ValidationError as exc:
            raise RequestValidationError(exc.errors(include_input=False, include_context=False)) from None
    if kind == "text/plain":
        channel = channel or Channel.SMS
        body = _of_text(channel, body)
    return _Asked(channel=channel or Channel.EMAIL, raw=body, sender=sender, recipient=recipient)


async def _body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await request.body()
    except TimeoutError:
        raise HTTPException(408) from None
    except ClientDisconnect:
        raise HTTPException(400) from None


def _of_text(channel: Channel, text: bytes) -> bytes:
    """The message whose text that is."""
    return text if channel is Channel.SMS else _TEXT_HEADER + text


def _shown(channel: Channel, decision: Decision) -> CheckOut:
    scan = decision.scan
    found: dict[str, Any] = {"probability": None, "model": "", "words": (), "signals": ()}
    if scan is not None:
        words = tuple(PartOut(token=text_of(word.token), weight=word.weight) for word in scan.evidence)
        found = {"probability": scan.probability, "model": scan.model, "words": words, "signals": scan.signals}
    return CheckOut(
        channel=channel,
        action=decision.action,
        reason=decision.reason,
        detail=text_of(decision.detail),
        threshold=decision.threshold,
        **found,
    )


async def filter_message(
    request: Request,
    body: FilterIn,
    token: CheckToken,  # noqa: ARG001  # checked on the way in
) -> FilterOut:
    """Judge an SMS for a message filter extension of iOS, as its system asks (``deferQueryRequestToNetwork``).

    The extension cannot add a header to that request. A secret in the address would be no better than one in a query:
    it stands in the app, which anybody can download and open, and in every access log on the way. So this asks for a
    token like all the rest, and the reverse proxy adds it, which is there anyhow: it serves the
    ``apple-app-site-association`` of the domain, and counts requests per client. For the same reason the answer holds
    no probability, which would help whoever tries texts.

    Spam that is merely tagged is junk, too: a folder in the phone is a mark and loses nothing. ``none`` means that the
    message was not judged, and is shown as if there were no filter.
    """
    asked, checking = body.query, parts_of(request).checking
    raw = asked.message.text.encode("utf-8", "replace")
    with checking.place():
        decision = await checking.check(Channel.SMS, raw, asked.sender, "")
    return FilterOut(action=_FILTER_ACTIONS[decision.action] if decision.scan or _is_listed(decision) else "none")


_FILTER_ACTIONS: dict[Action, Literal["allow", "junk", "none"]] = {
    Action.ACCEPT: "allow",
    Action.TAG: "junk",
    Action.QUARANTINE: "junk",
    Action.REJECT: "junk",
    Action.DEFER: "none",
}


def _is_listed(decision: Decision) -> bool:
    return decision.reason in {Reason.ALLOWED, Reason.DENIED}

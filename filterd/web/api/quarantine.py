"""Held messages: listed, shown, released and deleted."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from filterd.core.envelope import Channel
from filterd.errors import Unscannable
from filterd.ports import HeldState
from filterd.web.api.document import problems
from filterd.web.api.filters import HeldFilter
from filterd.web.api.parts import Body, QuarantineToken, clean, message_id, parts_of
from filterd.web.reading import read_held

_HEADER_BYTES = 65_536


class ReleaseIn(Body):
    """How to release a message."""

    label_ham: bool = False


class ReleaseOut(BaseModel):
    """A released message, and the next hop's reply."""

    id: str
    delivered: bool
    reply: str


class HeldOut(BaseModel):
    """A held message."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    channel: Channel
    state: HeldState
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    subject: str
    size_bytes: int
    action: str
    reason: str
    detail: str
    probability: float | None
    model: str


class HeldDetailOut(HeldOut):
    """A held message with its header."""

    headers: str
    """The header block as it is, up to 64 KiB; octets above 127 are replaced. Empty for an SMS."""


class AttachmentOut(BaseModel):
    """A part that is not shown."""

    name: str
    kind: str
    size_bytes: int


class ViewOut(BaseModel):
    """A held message as people read it; an SMS has only a text."""

    subject: str
    author: str
    to: str
    cc: str
    reply_to: str
    date: str
    message_id: str
    text: str
    """What the model reads: what is visible of the HTML, or the plain text."""
    plain: str
    hidden: str
    html: str
    """Written anew from a list of elements that neither load nor act; show it in a sandboxed frame all the same."""
    attachments: tuple[AttachmentOut, ...]


class HeldPage(BaseModel):
    """A part of the quarantine, newest first."""

    messages: tuple[HeldOut, ...]
    next: str | None
    """What to give as ``before`` for the next page."""


_BINARY = {"schema": {"type": "string", "format": "binary"}}
_RAW: dict[int | str, dict[str, Any]] = {
    200: {"content": {"message/rfc822": _BINARY, "application/octet-stream": _BINARY}},
}


def quarantine_routes() -> APIRouter:
    """What is under /quarantine."""
    router = APIRouter()
    absent, gone, refused = problems(404), problems(404, 409), problems(404, 409, 502)
    router.add_api_route("/quarantine", list_held, methods=["GET"], responses=absent)
    router.add_api_route(
        "/quarantine/{id}", show_held, methods=["GET"], response_model=HeldDetailOut, responses=absent | _RAW
    )
    router.add_api_route("/quarantine/{id}/view", view_held, methods=["GET"], responses=problems(404, 422))
    router.add_api_route("/quarantine/{id}", delete_held, methods=["DELETE"], status_code=204, responses=gone)
    router.add_api_route("/quarantine/{id}/release", release_held, methods=["POST"], responses=refused)
    return router


async def list_held(
    request: Request,
    token: QuarantineToken,  # noqa: ARG001  # checked on the way in
    meant: Annotated[HeldFilter, Query()],
) -> HeldPage:
    """Held messages, newest first: those that fit everything given."""
    found = await parts_of(request).review.list_held(meant.asked)
    page = found[: meant.limit]
    return HeldPage(
        messages=tuple(HeldOut.model_validate(clean(summary)) for summary in page),
        next=page[-1].id if len(found) > meant.limit else None,
    )


async def show_held(
    request: Request,
    id: str,
    token: QuarantineToken,  # noqa: ARG001  # checked on the way in
    raw: bool = False,  # noqa: FBT001, FBT002  # a query parameter
) -> Any:
    """A held message: what is known of it and its header, or with ``raw=1`` the message itself as a download."""
    held = await parts_of(request).quarantine.held(message_id(id))
    is_mail = held.envelope.channel is Channel.EMAIL
    if raw:
        name = f"{held.summary.id}.{'eml' if is_mail else 'txt'}"
        headers = {
            "content-disposition": f'attachment; filename="{name}"',
            "content-security-policy": "default-src 'none'; sandbox",
        }
        kind = "message/rfc822" if is_mail else "application/octet-stream"
        return Response(held.raw, headers=headers, media_type=kind)
    header = held.raw[:_HEADER_BYTES].partition(b"\r\n\r\n")[0] if is_mail else b""
    return clean(held.summary) | {"headers": header.decode("ascii", "replace")}


async def view_held(
    request: Request,
    id: str,
    token: QuarantineToken,  # noqa: ARG001  # checked on the way in
) -> ViewOut:
    """A held message read for people: headers decoded, text first. 422 where it breaks a limit."""
    parts = parts_of(request)
    held = await parts.quarantine.held(message_id(id))
    try:
        mail = await read_held(held, parts.reader)
    except Unscannable:
        raise HTTPException(422) from None
    return ViewOut(**asdict(mail))


async def release_held(request: Request, id: str, token: QuarantineToken, body: ReleaseIn | None = None) -> ReleaseOut:
    """Hand a held message on. 502 with the next hop's reply when it does not take it; it is held again then."""
    is_ham = body is not None and body.label_ham
    released = await parts_of(request).releaser.release(message_id(id), token.name, label_ham=is_ham)
    reply = released.reply.render().replace("\r\n", " ")
    if not released.delivered:
        raise HTTPException(502, f"the next hop said: {reply}")
    return ReleaseOut(id=released.id, delivered=True, reply=reply)


async def delete_held(request: Request, id: str, token: QuarantineToken) -> None:
    """Delete a held message."""
    parts = parts_of(request)
    await parts.quarantine.delete_held(message_id(id), token.name)
    parts.events.deleted(id, token.name)

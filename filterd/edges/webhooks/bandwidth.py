"""Bandwidth: JSON lists of messaging events, with HTTP basic for a signature.

Source: Bandwidth, "Webhooks" of its Messaging API (event ``message-received``) and "Authenticated callbacks": it
may call without user name and password first, and waits to be asked (RFC 7235 section 2.1). There is no time: a
replay is a duplicate ``message.id``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from filterd.edges.webhooks.adapter import WebhookReply
from filterd.edges.webhooks.credentials import basic, check_basic
from filterd.edges.webhooks.request import WebhookRequest, inner, json_objects, name_of, text_of
from filterd.ports import ForwardRequest, SmsPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandwidth:
    """The adapter of one application."""

    username: str
    password: str
    deliver_url: str = ""
    is_redirecting: bool = False
    name: str = "bandwidth"
    methods: tuple[str, ...] = ("POST",)

    def verify(self, request: WebhookRequest, now: datetime) -> None:  # noqa: ARG002  # nothing is signed
        """Raises SignatureInvalid or CredentialsMissing."""
        check_basic(request, self.username, self.password)

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The messages that were received; none for other events. Raises PayloadInvalid."""
        events = json_objects(request.body)
        received = [(event, inner(event.get("message"))) for event in events if event.get("type") == "message-received"]
        return tuple(
            SmsPart(
                provider=self.name,
                provider_id=name_of(message.get("id"), "message.id"),
                sender=name_of(message.get("from"), "message.from"),
                recipient=name_of(event.get("to"), "to"),
                text=text_of(message.get("text") or ""),
                received_at=now,
                payload=request.body if len(events) == 1 else _alone(event),
                content_type=request.header("content-type"),
            )
            for event, message in received
        )

    def reply(self, *, is_ham: bool) -> WebhookReply:  # noqa: ARG002  # any 2xx ends the call
        """Empty."""
        return WebhookReply(status=200)

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:  # noqa: ARG002  # nothing to sign
        """The body unchanged, or the one event of it, with the user name and password that came with it."""
        headers = (("content-type", part.content_type), ("authorization", basic(self.username, self.password)))
        return ForwardRequest(method="POST", url=self.deliver_url, headers=headers, body=part.payload)


def _alone(event: dict[str, object]) -> bytes:
    """One event of several: its neighbours may be spam."""
    return json.dumps([event]).encode()

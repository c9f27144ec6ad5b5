"""Infobip: JSON calls with one or more messages, with HTTP basic for a signature.

Source: Infobip, "Receive inbound SMS messages" (format MO_JSON_2) and the security settings of a subscription.
Nothing binds user name and password to a call, and there is no time: a replay is a duplicate ``messageId``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from filterd.edges.webhooks.adapter import WebhookReply
from filterd.edges.webhooks.credentials import basic, check_basic
from filterd.edges.webhooks.request import WebhookRequest, json_object, json_objects, name_of, number_of, text_of
from filterd.ports import ForwardRequest, SmsPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Infobip:
    """The adapter of one subscription."""

    username: str
    password: str
    deliver_url: str = ""
    is_redirecting: bool = False
    name: str = "infobip"
    methods: tuple[str, ...] = ("POST",)

    def verify(self, request: WebhookRequest, now: datetime) -> None:  # noqa: ARG002  # nothing is signed
        """Raises SignatureInvalid or CredentialsMissing."""
        check_basic(request, self.username, self.password)

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The messages; none for a delivery report. Raises PayloadInvalid."""
        results = json_objects(json_object(request.body).get("results"))
        messages = [result for result in results if "from" in result or "text" in result]
        return tuple(
            SmsPart(
                provider=self.name,
                provider_id=name_of(result.get("messageId"), "messageId"),
                sender=number_of(result.get("from"), "from"),
                recipient=number_of(result.get("to"), "to"),
                text=text_of(result.get("text") or ""),
                received_at=now,
                payload=request.body if len(results) == 1 else _alone(result),
                content_type=request.header("content-type"),
            )
            for result in messages
        )

    def reply(self, *, is_ham: bool) -> WebhookReply:  # noqa: ARG002  # any 2xx ends the call
        """Empty."""
        return WebhookReply(status=200)

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:  # noqa: ARG002  # nothing to sign
        """The body unchanged, or the one message of it, with the user name and password that came with it."""
        headers = (("content-type", part.content_type), ("authorization", basic(self.username, self.password)))
        return ForwardRequest(method="POST", url=self.deliver_url, headers=headers, body=part.payload)


def _alone(result: dict[str, Any]) -> bytes:
    """One message of several: its neighbours may be spam."""
    alone = {"results": [result], "messageCount": 1, "pendingMessageCount": 0}
    return json.dumps(alone).encode()

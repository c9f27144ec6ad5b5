"""Bird: events of its Notifications API, and of the API since, which signs as Standard Webhooks. The key tells which.

Source: Bird, "Verifying a webhook subscription" (``messagebird-signature``: HMAC-SHA256 over the timestamp, the URL
and the SHA-256 of the body, a line each) with "Receiving messages" of Programmable SMS; and Bird's SDK,
``webhooks.unwrap`` with the event ``sms.received``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from filterd.edges.webhooks import generic
from filterd.edges.webhooks.adapter import WebhookReply, check_age
from filterd.edges.webhooks.request import WebhookRequest, inner, is_same, json_object, name_of, text_of
from filterd.errors import SignatureInvalid
from filterd.ports import ForwardRequest, SmsPart

_SIGNATURE, _TIMESTAMP = "messagebird-signature", "messagebird-request-timestamp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bird:
    """The adapter of one webhook subscription."""

    signing_key: bytes
    is_standard: bool
    """Whether the key is one of Standard Webhooks; a call signed in the other way is refused."""
    clock_skew_seconds: float
    deliver_url: str = ""
    is_redirecting: bool = False
    name: str = "bird"
    methods: tuple[str, ...] = ("POST",)

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        """Raises SignatureInvalid."""
        if self.is_standard:
            generic.check_signature(self.signing_key, request, now, self.clock_skew_seconds)
            return
        timestamp = request.header(_TIMESTAMP)
        expected = signature(self.signing_key, timestamp, request.url, request.body)
        if not timestamp or not is_same(expected, request.header(_SIGNATURE)):
            raise SignatureInvalid("the signature does not match")
        check_age(timestamp, now, self.clock_skew_seconds)

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The message of an event about an incoming SMS; none for other events. Raises PayloadInvalid."""
        event = json_object(request.body)
        if event.get("type") == "sms.received":
            id, sender, recipient, text = _received(inner(event.get("data")))
        elif event.get("event") == "sms.inbound":
            id, sender, recipient, text = _inbound(inner(event.get("payload")))
        else:
            return ()
        part = SmsPart(
            provider=self.name,
            provider_id=name_of(id, "id"),
            sender=name_of(sender, "sender"),
            recipient=name_of(recipient, "recipient"),
            text=text_of(text),
            received_at=now,
            payload=request.body,
            content_type=request.header("content-type"),
            headers=request.kept("webhook-id"),
        )
        return (part,)

    def reply(self, *, is_ham: bool) -> WebhookReply:  # noqa: ARG002  # any 2xx ends the call
        """Empty."""
        return WebhookReply(status=200)

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:
        """The body unchanged, signed for the customer's URL and the time of the call."""
        if self.is_standard:
            id = dict(part.headers).get("webhook-id", part.provider_id)
            signed = generic.signed_headers(self.signing_key, id, now, part.payload)
        else:
            timestamp = str(int(now.timestamp()))
            made = signature(self.signing_key, timestamp, self.deliver_url, part.payload)
            signed = ((_TIMESTAMP, timestamp), (_SIGNATURE, made))
        headers = (("content-type", part.content_type), *signed)
        return ForwardRequest(method="POST", url=self.deliver_url, headers=headers, body=part.payload)


def signature(signing_key: bytes, timestamp: str, url: str, body: bytes) -> str:
    """Base64 HMAC-SHA256 of the Notifications API."""
    signed = f"{timestamp}\n{url}\n".encode("utf-8", "surrogateescape") + hashlib.sha256(body).digest()
    return base64.b64encode(hmac.new(signing_key, signed, hashlib.sha256).digest()).decode()


def key_of(signing_key: str) -> tuple[bytes, bool]:
    """The key, and whether it is one of Standard Webhooks: these begin with ``whsec_``. Raises ConfigError."""
    if signing_key.startswith(generic.PREFIX):
        return generic.key_of(signing_key, "sms.bird.signing_key"), True
    return signing_key.encode(), False


_Fields = tuple[object, object, object, object]
"""Id, sender, recipient and text, as they are."""


def _received(data: dict[str, Any]) -> _Fields:
    # A message of attachments alone has no text.
    text = "\n".join(str(data[name]) for name in ("subject", "text") if data.get(name))
    return data.get("sms_id"), data.get("from"), data.get("to"), text


def _inbound(message: dict[str, Any]) -> _Fields:
    contact = inner(inner(message.get("sender")).get("contact"))
    connector = inner(inner(message.get("receiver")).get("connector"))
    # The number is not always there: then the channel, which stands for one number, is the recipient.
    recipient = connector.get("identifierValue") or message.get("channelId")
    body = inner(message.get("body"))
    text = inner(body.get(str(body.get("type")), {})).get("text", "")
    return message.get("id"), contact.get("identifierValue"), recipient, text

"""Telnyx: JSON events signed with Ed25519 over ``timestamp|body``.

Source: Telnyx, "Webhook fundamentals" (telnyx-signature-ed25519, telnyx-timestamp). Only the provider holds the
private key, so a forwarded call keeps its signature and its age.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from filterd.edges.webhooks.adapter import WebhookReply, check_age
from filterd.edges.webhooks.request import WebhookRequest, inner, json_object, name_of, text_of
from filterd.errors import ConfigError, SignatureInvalid
from filterd.ports import ForwardRequest, SmsPart

_HEADERS = ("telnyx-signature-ed25519", "telnyx-timestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Telnyx:
    """The adapter of one account."""

    public_key: Ed25519PublicKey
    clock_skew_seconds: float
    deliver_url: str = ""
    is_redirecting: bool = False
    name: str = "telnyx"
    methods: tuple[str, ...] = ("POST",)

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        """Raises SignatureInvalid."""
        timestamp = request.header("telnyx-timestamp")
        given = request.header("telnyx-signature-ed25519")
        try:
            raw = base64.b64decode(given, validate=True)
            if base64.b64encode(raw).decode() != given:
                raise SignatureInvalid("the signature is not canonical base64")
            self.public_key.verify(raw, timestamp.encode("utf-8", "surrogateescape") + b"|" + request.body)
        except (binascii.Error, ValueError, InvalidSignature) as exc:
            raise SignatureInvalid("the signature does not match") from exc
        check_age(timestamp, now, self.clock_skew_seconds)

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The message of a ``message.received`` event; none for other events. Raises PayloadInvalid."""
        data = inner(json_object(request.body).get("data"))
        if data.get("event_type") != "message.received":
            return ()
        payload = inner(data.get("payload"))
        to = payload.get("to")
        recipient = inner(to[0]) if isinstance(to, list) and to else {}
        part = SmsPart(
            provider=self.name,
            provider_id=name_of(payload.get("id"), "payload.id"),
            sender=name_of(inner(payload.get("from")).get("phone_number"), "payload.from"),
            recipient=name_of(recipient.get("phone_number"), "payload.to"),
            text=text_of(payload.get("text") or ""),
            received_at=now,
            payload=request.body,
            content_type=request.header("content-type"),
            headers=request.kept(*_HEADERS),
        )
        return (part,)

    def reply(self, *, is_ham: bool) -> WebhookReply:  # noqa: ARG002  # any 2xx ends the call
        """Empty."""
        return WebhookReply(status=200)

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:  # noqa: ARG002  # nothing to sign anew
        """The call as received."""
        headers = (("content-type", part.content_type), *part.headers)
        return ForwardRequest(method="POST", url=self.deliver_url, headers=headers, body=part.payload)


def public_key_of(encoded: str) -> Ed25519PublicKey:
    """The key in base64. Raises ConfigError."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError) as exc:
        raise ConfigError("sms.telnyx.public_key: not a base64 Ed25519 public key of 32 bytes") from exc

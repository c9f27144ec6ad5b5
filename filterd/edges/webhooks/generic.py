"""Any sender that signs as the Standard Webhooks specification says; ``docs/webhooks.md`` has the JSON format.

Source: https://www.standardwebhooks.com - HMAC-SHA256 over ``id.timestamp.body``, header ``webhook-signature`` with
one or more ``v1,<base64>`` separated by spaces.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

from filterd.edges.webhooks.adapter import WebhookReply, check_age
from filterd.edges.webhooks.request import WebhookRequest, is_same, json_object, name_of, part_of, text_of
from filterd.errors import ConfigError, SignatureInvalid
from filterd.ports import ForwardRequest, SmsPart

PREFIX = "whsec_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generic:
    """The adapter of one signing secret."""

    key: bytes
    clock_skew_seconds: float
    deliver_url: str = ""
    is_redirecting: bool = False
    name: str = "generic"
    methods: tuple[str, ...] = ("POST",)

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        """Raises SignatureInvalid."""
        check_signature(self.key, request, now, self.clock_skew_seconds)

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The message or part. Raises PayloadInvalid."""
        fields = json_object(request.body)
        part, parts = part_of(fields.get("part", 1), fields.get("parts", 1))
        message = SmsPart(
            provider=self.name,
            provider_id=name_of(fields.get("id", request.header("webhook-id")), "id"),
            sender=name_of(fields.get("from"), "from"),
            recipient=name_of(fields.get("to"), "to"),
            text=text_of(fields.get("text")),
            received_at=now,
            payload=request.body,
            content_type=request.header("content-type"),
            headers=request.kept("webhook-id"),
            reference=name_of(fields.get("reference"), "reference") if parts > 1 else "",
            part=part,
            parts=parts,
        )
        return (message,)

    def reply(self, *, is_ham: bool) -> WebhookReply:  # noqa: ARG002  # any 2xx ends the call
        """Always the same JSON: a sender learns nothing about the verdict."""
        return WebhookReply(status=200, content_type="application/json", body=b'{"status":"accepted"}\n')

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:
        """The body unchanged, signed anew: a retry or a late release would otherwise be too old to be believed."""
        id = dict(part.headers).get("webhook-id", part.provider_id)
        headers = (("content-type", part.content_type), *signed_headers(self.key, id, now, part.payload))
        return ForwardRequest(method="POST", url=self.deliver_url, headers=headers, body=part.payload)


def check_signature(key: bytes, request: WebhookRequest, now: datetime, skew_seconds: float) -> None:
    """Raises SignatureInvalid unless the call is signed with ``key`` and recent."""
    id, timestamp = request.header("webhook-id"), request.header("webhook-timestamp")
    if not id or not timestamp:
        raise SignatureInvalid("webhook-id or webhook-timestamp is missing")
    expected = signature(key, id, timestamp, request.body)
    # The list is for key rotation: one entry that holds is enough.
    if not any(is_same(expected, given) for given in request.header("webhook-signature").split(" ")):
        raise SignatureInvalid("the signature does not match")
    check_age(timestamp, now, skew_seconds)


def signature(key: bytes, id: str, timestamp: str, body: bytes) -> str:
    """``v1,`` and the base64 HMAC-SHA256 of ``id.timestamp.body``."""
    signed = f"{id}.{timestamp}.".encode("utf-8", "surrogateescape") + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def signed_headers(key: bytes, id: str, now: datetime, body: bytes) -> tuple[tuple[str, str], ...]:
    """The three headers of a call made at ``now``."""
    timestamp = str(int(now.timestamp()))
    return (
        ("webhook-id", id),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", signature(key, id, timestamp, body)),
    )


def key_of(secret: str, setting: str = "sms.generic.secret") -> bytes:
    """The key in ``whsec_<base64>``. Raises ConfigError naming the setting."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX) + "==")
    except (binascii.Error, ValueError) as exc:
        raise ConfigError(f"{setting}: not whsec_ followed by base64") from exc
    if len(key) < 16:  # the specification asks for 24 to 64 bytes; below 16 a key can be guessed
        raise ConfigError(f"{setting}: shorter than 16 bytes")
    return key

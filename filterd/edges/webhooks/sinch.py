"""Sinch: JSON callbacks of its SMS API, signed with HMAC-SHA256 over ``body.nonce.timestamp``.

Source: Sinch, SMS API, "Callbacks" (``X-Sinch-Webhook-Signature`` with ``-Nonce``, ``-Timestamp`` and ``-Algorithm``)
and the SDK's ``SmsSinchEvent``. Sinch signs only after its account manager has given out a secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from filterd.edges.webhooks.adapter import WebhookReply, check_age
from filterd.edges.webhooks.request import WebhookRequest, inner, is_same, json_object, name_of, number_of, text_of
from filterd.errors import PayloadInvalid, SignatureInvalid
from filterd.ports import ForwardRequest, SmsPart

_SIGNATURE = "x-sinch-webhook-signature"
_NONCE, _TIMESTAMP, _ALGORITHM = (f"{_SIGNATURE}-{name}" for name in ("nonce", "timestamp", "algorithm"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sinch:
    """The adapter of one account."""

    secret: str
    clock_skew_seconds: float
    deliver_url: str = ""
    is_redirecting: bool = False
    name: str = "sinch"
    methods: tuple[str, ...] = ("POST",)

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        """Raises SignatureInvalid."""
        nonce, timestamp = request.header(_NONCE), request.header(_TIMESTAMP)
        if not nonce or not timestamp:
            raise SignatureInvalid("nonce or timestamp is missing")
        if not is_same(signature(self.secret, request.body, nonce, timestamp), request.header(_SIGNATURE)):
            raise SignatureInvalid("the signature does not match")
        check_age(timestamp, now, self.clock_skew_seconds)

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The message; none for a delivery report. Raises PayloadInvalid."""
        fields = json_object(request.body)
        kind = fields.get("type")
        if not isinstance(kind, str) or not kind.startswith("mo_"):
            return ()
        part = SmsPart(
            provider=self.name,
            provider_id=name_of(fields.get("id"), "id"),
            sender=number_of(fields.get("from"), "from"),
            recipient=number_of(fields.get("to"), "to"),
            text=text_of(_text(kind, fields)),
            received_at=now,
            payload=request.body,
            content_type=request.header("content-type"),
        )
        return (part,)

    def reply(self, *, is_ham: bool) -> WebhookReply:  # noqa: ARG002  # any 2xx ends the call
        """Empty."""
        return WebhookReply(status=200)

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:
        """The body unchanged, signed anew: a retry or a late release would otherwise be too old to be believed."""
        signed = signed_headers(self.secret, part.payload, secrets.token_hex(16), now)
        headers = (("content-type", part.content_type), *signed)
        return ForwardRequest(method="POST", url=self.deliver_url, headers=headers, body=part.payload)


def signature(secret: str, body: bytes, nonce: str, timestamp: str) -> str:
    """Base64 HMAC-SHA256 of ``body.nonce.timestamp``."""
    signed = body + f".{nonce}.{timestamp}".encode("utf-8", "surrogateescape")
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def signed_headers(secret: str, body: bytes, nonce: str, now: datetime) -> tuple[tuple[str, str], ...]:
    """The four headers of a call made at ``now``."""
    timestamp = str(int(now.timestamp()))
    return (
        (_NONCE, nonce),
        (_TIMESTAMP, timestamp),
        (_ALGORITHM, "HmacSHA256"),
        (_SIGNATURE, signature(secret, body, nonce, timestamp)),
    )


def _text(kind: str, fields: dict[str, Any]) -> object:
    """The text of a message: as it is, or of the octets of a binary one, or beside the media of an MMS."""
    body = fields.get("body")
    if kind == "mo_media":
        media = inner(body)
        return "\n".join(str(media[name]) for name in ("subject", "message") if media.get(name))
    if kind != "mo_binary" or not isinstance(body, str):
        return body
    try:
        return base64.b64decode(body).decode("utf-8", "replace")
    except (binascii.Error, ValueError) as exc:
        raise PayloadInvalid("a binary body is not base64") from exc

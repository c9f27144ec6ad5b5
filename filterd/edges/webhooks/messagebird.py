"""MessageBird: calls by GET, form or JSON, with a signed token over the URL and the body.

Source: MessageBird, "Verifying requests" (``MessageBird-Signature-JWT`` with ``iss``, ``nbf``, ``exp``, ``jti``,
``url_hash`` and ``payload_hash``; the SDK's ``RequestValidator``), "Receiving SMS" and Flow Builder's "Forward to URL".
What Bird sends since is read by ``bird.py``.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from filterd.edges.webhooks.adapter import WebhookReply, check_age
from filterd.edges.webhooks.request import (
    WebhookRequest,
    form_fields,
    is_same,
    json_object,
    name_of,
    number_of,
    text_of,
    unique_fields,
    with_query,
)
from filterd.edges.webhooks.tokens import claims_of, token
from filterd.errors import PayloadInvalid, SignatureInvalid
from filterd.ports import ForwardRequest, SmsPart

_SIGNATURE = "messagebird-signature-jwt"
_ISSUER = "MessageBird"
_ALGORITHMS = ("HS256", "HS384", "HS512")
_LIFETIME_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageBird:
    """The adapter of one account."""

    signing_key: str
    clock_skew_seconds: float
    deliver_url: str = ""
    is_redirecting: bool = False
    name: str = "messagebird"
    methods: tuple[str, ...] = ("POST", "GET")

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        """Raises SignatureInvalid."""
        claims = claims_of(request.header(_SIGNATURE), self.signing_key, _ALGORITHMS)
        if claims.get("iss") != _ISSUER:
            raise SignatureInvalid("another issuer")
        if not is_same(_sha256(request.url.encode("utf-8", "surrogateescape")), str(claims.get("url_hash", ""))):
            raise SignatureInvalid("the token is not about this URL")
        payload_hash = _sha256(request.body) if request.body else ""
        if not is_same(payload_hash, str(claims.get("payload_hash") or "")):
            raise SignatureInvalid("the token is not about this body")
        check_age(str(claims.get("nbf", "")), now, self.clock_skew_seconds)
        expires = claims.get("exp")
        if not isinstance(expires, int) or expires + self.clock_skew_seconds < now.timestamp():
            raise SignatureInvalid("the token has expired")

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The message; none for a status report. Raises PayloadInvalid."""
        fields = _fields(request)
        if "status" in fields and "originator" not in fields:
            return ()
        part = SmsPart(
            provider=self.name,
            provider_id=_id_of(fields, request),
            sender=number_of(fields.get("originator"), "originator"),
            recipient=number_of(fields.get("recipient"), "recipient"),
            text=text_of(fields.get("body", fields.get("payload", ""))),
            received_at=now,
            payload=request.body,
            content_type=request.header("content-type"),
            query=request.query,
        )
        return (part,)

    def reply(self, *, is_ham: bool) -> WebhookReply:  # noqa: ARG002  # any 2xx ends the call
        """Empty."""
        return WebhookReply(status=200)

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:
        """The call as received, with a token for the customer's URL."""
        url = with_query(self.deliver_url, part.query)
        kept = (("content-type", part.content_type),) if part.content_type else ()
        headers = (*kept, (_SIGNATURE, signature(self.signing_key, url, part.payload, now)))
        return ForwardRequest(method="POST" if part.payload else "GET", url=url, headers=headers, body=part.payload)


def signature(signing_key: str, url: str, body: bytes, now: datetime) -> str:
    """The token of a call made at ``now``."""
    issued = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": _ISSUER,
        "nbf": issued,
        "exp": issued + _LIFETIME_SECONDS,
        "jti": secrets.token_hex(16),
        "url_hash": _sha256(url.encode()),
    }
    if body:
        claims["payload_hash"] = _sha256(body)
    return token(signing_key, claims)


def _fields(request: WebhookRequest) -> dict[str, Any]:
    """Those of the body, or of the query where there is none. Raises PayloadInvalid."""
    if not request.body:
        return dict(unique_fields(form_fields(request.query)))
    if request.media_type == "application/json":
        return json_object(request.body)
    return dict(unique_fields(form_fields(request.body)))


def _id_of(fields: dict[str, Any], request: WebhookRequest) -> str:
    """The message's id. Flow Builder can leave it out: then the whole call stands for it, if that has a time."""
    if given := fields.get("id") or fields.get("message_id"):
        return name_of(given, "id")
    if not fields.get("createdDatetime"):
        raise PayloadInvalid("neither id nor createdDatetime: equal messages could not be told apart")
    return "sha256:" + _sha256(request.body or request.query.encode("utf-8", "surrogateescape"))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

"""Vonage: the SMS API's signed parameters and the Messages API's signed tokens, at one URL.

Source: Vonage, "Signing messages" (``sig`` over ``&name=value`` of the sorted parameters, or MD5 of that and the
secret) and "Decoding signed webhooks" (HS256 token with ``iat``, ``jti`` and ``payload_hash``). A call with neither
is known to happen and is tried again, so it is answered 503 rather than 403.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
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
    part_of,
    text_of,
    unique_fields,
    with_query,
)
from filterd.edges.webhooks.tokens import claims_of, token, unverified_claims
from filterd.errors import PayloadInvalid, SignatureInvalid, Unsigned
from filterd.ports import ForwardRequest, SmsPart

_JSON = "application/json"
_BEARER = "bearer "


@dataclass(frozen=True, slots=True, kw_only=True)
class Vonage:
    """The adapter of one account."""

    signature_secret: str
    clock_skew_seconds: float
    signature_method: str = "sha256"
    deliver_url: str = ""
    is_redirecting: bool = False
    name: str = "vonage"
    methods: tuple[str, ...] = ("POST", "GET")

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        """Raises SignatureInvalid, or Unsigned for a call with neither token nor ``sig``."""
        authorization = request.header("authorization")
        if authorization.lower().startswith(_BEARER):
            self._verify_token(authorization[len(_BEARER) :], request, now)
            return
        try:
            fields = _parameters(request)
        except PayloadInvalid as exc:
            raise SignatureInvalid(exc.detail) from exc
        given = fields.pop("sig", None)
        if given is None:
            raise Unsigned
        expected = signature(self.signature_secret, self.signature_method, fields)
        if not isinstance(given, str) or not is_same(expected, given.lower()):
            raise SignatureInvalid("the signature does not match")
        check_age(str(fields.get("timestamp", "")), now, self.clock_skew_seconds)

    def _verify_token(self, encoded: str, request: WebhookRequest, now: datetime) -> None:
        claims = claims_of(encoded, self.signature_secret)
        payload_hash = claims.get("payload_hash")
        if not isinstance(payload_hash, str) or not is_same(hashlib.sha256(request.body).hexdigest(), payload_hash):
            raise SignatureInvalid("the token is not about this body")
        if not claims.get("jti"):
            raise SignatureInvalid("the token has no id")
        check_age(str(claims.get("iat", "")), now, self.clock_skew_seconds)

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The message or part; none for a delivery receipt. Raises PayloadInvalid."""
        fields = _parameters(request)
        if "text" not in fields and "status" in fields:
            return ()
        is_messages_api = "message_uuid" in fields
        is_part = str(fields.get("concat", "")).lower() == "true"
        part, parts = part_of(fields.get("concat-part"), fields.get("concat-total")) if is_part else (1, 1)
        message = SmsPart(
            provider=self.name,
            provider_id=name_of(fields.get("message_uuid" if is_messages_api else "messageId"), "message id"),
            sender=number_of(fields.get("from" if is_messages_api else "msisdn"), "sender"),
            recipient=number_of(fields.get("to"), "to"),
            text=text_of(fields.get("text", "")),
            received_at=now,
            payload=request.body,
            content_type=request.header("content-type"),
            headers=_kept_token(request),
            query=request.query,
            reference=name_of(str(fields.get("concat-ref", "")), "concat-ref") if parts > 1 else "",
            part=part,
            parts=parts,
        )
        return (message,)

    def reply(self, *, is_ham: bool) -> WebhookReply:  # noqa: ARG002  # any 2xx ends the call
        """Empty."""
        return WebhookReply(status=200)

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:
        """The call as received; a token is issued anew, because it would be too old after a retry or a release."""
        headers = [("content-type", part.content_type)] if part.content_type else []
        for name, value in part.headers:
            headers.append((name, f"Bearer {_renewed(value[len(_BEARER) :], self.signature_secret, now)}"))
        if part.payload:
            return ForwardRequest(method="POST", url=self.deliver_url, headers=tuple(headers), body=part.payload)
        url = with_query(self.deliver_url, part.query)
        return ForwardRequest(method="GET", url=url, headers=tuple(headers), body=b"")


def signature(secret: str, method: str, fields: Mapping[str, Any]) -> str:
    """The lower-case hex ``sig`` of the parameters: an HMAC, or for ``md5hash`` the MD5 of text and secret.

    In values ``&`` and ``=`` count as ``_``.
    """
    text = "".join(f"&{name}={_flat(fields[name])}" for name in sorted(fields)).encode("utf-8", "surrogatepass")
    if method == "md5hash":
        return hashlib.md5(text + secret.encode(), usedforsecurity=True).hexdigest()  # noqa: S324  # the provider's scheme
    return hmac.new(secret.encode(), text, method).hexdigest()


def _kept_token(request: WebhookRequest) -> tuple[tuple[str, str], ...]:
    """The bearer token, if there is one; other credentials are between the provider and us."""
    return tuple((n, v) for n, v in request.kept("authorization") if v.lower().startswith(_BEARER))


def _flat(value: object) -> str:
    return str(value).replace("&", "_").replace("=", "_")


def _parameters(request: WebhookRequest) -> dict[str, Any]:
    """The parameters of a GET, a form or a JSON body. Raises PayloadInvalid."""
    if request.method == "GET":
        return dict(unique_fields(form_fields(request.query)))
    if request.media_type == _JSON:
        fields = json_object(request.body)
        if "message_uuid" not in fields and not all(isinstance(v, str | int) for v in fields.values()):
            raise PayloadInvalid("a parameter is neither text nor a number")
        return fields
    return dict(unique_fields(form_fields(request.body)))


def _renewed(encoded: str, secret: str, now: datetime) -> str:
    """The claims of a token that was verified when it came, issued now."""
    return token(secret, {**unverified_claims(encoded), "iat": int(now.timestamp())})

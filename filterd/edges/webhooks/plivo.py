"""Plivo: form webhooks signed with HMAC-SHA256 over the public URL and a nonce, V2 and V3.

Source: Plivo, "Validating callbacks" and the SDK's ``validate_signature`` and ``validate_v3_signature``. V3 also
signs the form. **V2 signs neither body nor query**: who has seen one signed call can forge others. So a call that
carries a V3 header is checked as V3 only, and a setting refuses V2 altogether. Neither has a timestamp.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from filterd.edges.webhooks.adapter import WebhookReply
from filterd.edges.webhooks.request import (
    WebhookRequest,
    form_fields,
    is_same,
    name_of,
    number_of,
    text_of,
    unique_fields,
)
from filterd.errors import PayloadInvalid, SignatureInvalid
from filterd.ports import ForwardRequest, SmsPart

_V3 = ("x-plivo-signature-v3", "x-plivo-signature-ma-v3")
_V2 = ("x-plivo-signature-v2", "x-plivo-signature-ma-v2")
"""The sub-account's signature and the main account's."""
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plivo:
    """The adapter of one account."""

    auth_token: str
    is_v3_required: bool = False
    deliver_url: str = ""
    is_redirecting: bool = False
    name: str = "plivo"
    methods: tuple[str, ...] = ("POST",)

    def verify(self, request: WebhookRequest, now: datetime) -> None:  # noqa: ARG002  # the scheme signs no time
        """Raises SignatureInvalid."""
        if request.media_type != _FORM:
            raise SignatureInvalid("not a form")
        names = {name for name, _ in request.headers}
        if self.is_v3_required or names.intersection(_V3):
            nonce = request.header("x-plivo-signature-v3-nonce")
            try:
                expected = signature_v3(self.auth_token, request.url, form_fields(request.body), nonce)
            except PayloadInvalid as exc:
                raise SignatureInvalid(exc.detail) from exc
            given = [item.strip() for name in _V3 for item in request.header(name).split(",")]
        else:
            nonce = request.header("x-plivo-signature-v2-nonce")
            expected = signature_v2(self.auth_token, request.url, nonce)
            given = [request.header(name) for name in _V2]
        if not nonce or not any(is_same(expected, item) for item in given):
            raise SignatureInvalid("the signature does not match")

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The message; none for a delivery report. Raises PayloadInvalid."""
        fields = unique_fields(form_fields(request.body))
        if "Text" not in fields and "Status" in fields:
            return ()
        part = SmsPart(
            provider=self.name,
            provider_id=name_of(fields.get("MessageUUID"), "MessageUUID"),
            sender=number_of(fields.get("From"), "From"),
            recipient=number_of(fields.get("To"), "To"),
            text=text_of(fields.get("Text", "")),
            received_at=now,
            payload=request.body,
            content_type=request.header("content-type"),
        )
        return (part,)

    def reply(self, *, is_ham: bool) -> WebhookReply:  # noqa: ARG002  # anything in it would be sent as an SMS
        """Empty Plivo XML."""
        return WebhookReply(status=200, content_type="text/xml; charset=utf-8", body=b"<Response/>")

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:  # noqa: ARG002  # the scheme signs no time
        """The body unchanged, signed V2 and V3 for the customer's URL."""
        signed = signed_headers(self.auth_token, self.deliver_url, part.payload)
        headers = (("content-type", part.content_type), *part.headers, *signed)
        return ForwardRequest(method="POST", url=self.deliver_url, headers=headers, body=part.payload)


def signed_headers(auth_token: str, url: str, body: bytes) -> tuple[tuple[str, str], ...]:
    """The headers of both versions for a form POST, with fresh nonces."""
    nonce_v2, nonce_v3 = (str(secrets.randbelow(10**20)).zfill(20) for _ in range(2))
    return (
        ("x-plivo-signature-v2", signature_v2(auth_token, url, nonce_v2)),
        ("x-plivo-signature-v2-nonce", nonce_v2),
        ("x-plivo-signature-v3", signature_v3(auth_token, url, form_fields(body), nonce_v3)),
        ("x-plivo-signature-v3-nonce", nonce_v3),
    )


def signature_v2(auth_token: str, url: str, nonce: str) -> str:
    """Base64 HMAC-SHA256 of the URL without its query, and the nonce."""
    return _hmac(auth_token, _bare(url) + nonce)


def signature_v3(auth_token: str, url: str, fields: Iterable[tuple[str, str]], nonce: str) -> str:
    """Base64 HMAC-SHA256 of ``url?query.fields.nonce``, query and fields sorted.

    Raises PayloadInvalid if the query cannot be read.
    """
    form = sorted(fields)
    query = "&".join(f"{name}={value}" for name, value in sorted(form_fields(urlsplit(url).query)))
    text = _bare(url)
    if query or form:
        text += "?" + query
    if query and form:
        text += "."
    text += _concatenated(form)
    return _hmac(auth_token, f"{text}.{nonce}")


def _concatenated(form: list[tuple[str, str]]) -> str:
    return "".join(name + value for name, value in form)


def _bare(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _hmac(auth_token: str, text: str) -> str:
    return base64.b64encode(
        hmac.new(auth_token.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()
    ).decode()

"""Twilio: form or JSON webhooks signed with HMAC-SHA1 over the public URL.

Source: Twilio, "Webhooks security" (X-Twilio-Signature) and "TwiML for Programmable Messaging". A form is signed
as the URL followed by every name and value, names sorted; a JSON body by its SHA-256 in the URL's ``bodySHA256``.
The protocol has no timestamp: a replay is a duplicate MessageSid.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from filterd.edges.webhooks.adapter import WebhookReply
from filterd.edges.webhooks.request import (
    WebhookRequest,
    form_fields,
    is_same,
    json_object,
    name_of,
    text_of,
    unique_fields,
)
from filterd.errors import PayloadInvalid, SignatureInvalid
from filterd.ports import ForwardRequest, SmsPart

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
_EMPTY = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Twilio:
    """The adapter of one account."""

    auth_token: str
    deliver_url: str = ""
    is_redirecting: bool = False
    name: str = "twilio"
    methods: tuple[str, ...] = ("POST",)

    def verify(self, request: WebhookRequest, now: datetime) -> None:  # noqa: ARG002  # the scheme signs no time
        """Raises SignatureInvalid."""
        fields: tuple[tuple[str, str], ...] = ()
        if request.media_type == FORM:
            try:
                fields = form_fields(request.body)
            except PayloadInvalid as exc:
                raise SignatureInvalid(exc.detail) from exc
        elif request.media_type == JSON:
            _check_body_hash(request)
        else:
            raise SignatureInvalid("neither a form nor JSON")
        given = request.header("x-twilio-signature")
        # Twilio is not consistent about the port, so both spellings count (as in its own SDK).
        matches = [is_same(signature(self.auth_token, url, fields), given) for url in _spellings(request.url)]
        if not given or not any(matches):
            raise SignatureInvalid("the signature does not match")

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The message; none for a status callback. Raises PayloadInvalid."""
        if request.media_type == JSON:
            fields = json_object(request.body)
        else:
            fields = dict(unique_fields(form_fields(request.body)))
        if "Body" not in fields and "MessageStatus" in fields:
            return ()
        part = SmsPart(
            provider=self.name,
            provider_id=name_of(fields.get("MessageSid") or fields.get("SmsSid"), "MessageSid"),
            sender=name_of(fields.get("From"), "From"),
            recipient=name_of(fields.get("To"), "To"),
            text=text_of(fields.get("Body", "")),
            received_at=now,
            payload=request.body,
            content_type=request.header("content-type"),
            headers=request.kept("i-twilio-idempotency-token"),
        )
        return (part,)

    def reply(self, *, is_ham: bool) -> WebhookReply:
        """TwiML: nothing, or for ham in redirect mode the order to call the customer."""
        body = _EMPTY
        if is_ham and self.is_redirecting:
            url = escape(self.deliver_url)
            body = (
                f'<?xml version="1.0" encoding="UTF-8"?><Response><Redirect method="POST">{url}</Redirect></Response>'
            ).encode()
        return WebhookReply(status=200, content_type="text/xml; charset=utf-8", body=body)

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:  # noqa: ARG002  # the scheme signs no time
        """The body unchanged, signed for the customer's URL."""
        url, fields = self.deliver_url, form_fields(b"")
        if part.content_type.partition(";")[0].strip().lower() == JSON:
            url = with_body_hash(url, part.payload)
        else:
            fields = form_fields(part.payload)
        headers = (
            ("content-type", part.content_type),
            *part.headers,
            ("x-twilio-signature", signature(self.auth_token, url, fields)),
        )
        return ForwardRequest(method="POST", url=url, headers=headers, body=part.payload)


def signature(auth_token: str, url: str, fields: Iterable[tuple[str, str]]) -> str:
    """Base64 HMAC-SHA1 of the URL and the sorted, distinct fields."""
    text = url + "".join(name + value for name, value in sorted(set(fields)))
    return base64.b64encode(hmac.new(auth_token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def with_body_hash(url: str, body: bytes) -> str:
    """``url`` with the ``bodySHA256`` that stands for a JSON body."""
    return f"{url}{'&' if '?' in url else '?'}bodySHA256={hashlib.sha256(body).hexdigest()}"


def _check_body_hash(request: WebhookRequest) -> None:
    hashes = parse_qs(request.query).get("bodySHA256", [])
    if len(hashes) != 1 or not is_same(hashlib.sha256(request.body).hexdigest(), hashes[0]):
        raise SignatureInvalid("bodySHA256 is missing or does not match")


def _spellings(url: str) -> tuple[str, str]:
    """``url`` without and with its port."""
    parts = urlsplit(url)
    host = parts.netloc
    if parts.port is not None:
        host = host[: -len(f":{parts.port}")]
    port = parts.port or (443 if parts.scheme == "https" else 80)
    rest = url.removeprefix(f"{parts.scheme}://{parts.netloc}")
    return f"{parts.scheme}://{host}{rest}", f"{parts.scheme}://{host}:{port}{rest}"

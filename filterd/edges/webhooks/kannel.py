"""Kannel: its smsbox calls an ``sms-service`` URL for each message, by ``get-url`` or ``post-url``.

Source: Kannel 1.4.5 User's Guide, "SMS services" and table "Parameters (Escape Codes)"; ``deploy/kannel`` has the
template this reads. Kannel signs nothing: a token in the URL stands for a signature. It answers the phone with what
it is answered, so the reply is empty. XML (``post-xml``) is not read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from filterd.core.charset import codec_of
from filterd.edges.webhooks.adapter import WebhookReply
from filterd.edges.webhooks.credentials import TOKEN, check_field, without_field
from filterd.edges.webhooks.request import (
    WebhookRequest,
    name_of,
    number_of,
    octet_fields,
    text_of,
    texts_of,
    unique_fields,
    with_query,
)
from filterd.ports import ForwardRequest, SmsPart

_CHARSET = re.compile(r"charset=([^;]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kannel:
    """The adapter of one gateway."""

    token: str
    deliver_url: str = ""
    is_redirecting: bool = False
    name: str = "kannel"
    methods: tuple[str, ...] = ("GET", "POST")

    def verify(self, request: WebhookRequest, now: datetime) -> None:  # noqa: ARG002  # nothing is signed
        """Raises SignatureInvalid."""
        check_field(request.query, TOKEN, self.token)

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The message; its text is the body of a POST and a field of a GET. Raises PayloadInvalid."""
        octets = unique_fields(octet_fields(request.query))
        fields = texts_of(octets)
        text = request.body if request.method == "POST" else octets.get("text", "").encode("latin-1")
        part = SmsPart(
            provider=self.name,
            provider_id=name_of(fields.get("id"), "id"),
            sender=number_of(fields.get("from"), "from"),
            recipient=number_of(fields.get("to"), "to"),
            text=text_of(text.decode(_codec_of(request, fields), "replace")),
            received_at=now,
            payload=request.body,
            content_type=request.header("content-type"),
            headers=tuple((name, value) for name, value in request.headers if name.startswith("x-kannel-")),
            query=without_field(request.query, TOKEN),
        )
        return (part,)

    def reply(self, *, is_ham: bool) -> WebhookReply:  # noqa: ARG002  # a text in it would be sent as an SMS
        """Empty."""
        return WebhookReply(status=200)

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:  # noqa: ARG002  # nothing to sign
        """The call as received, less the token."""
        is_post = bool(part.content_type)
        return ForwardRequest(
            method="POST" if is_post else "GET",
            url=with_query(self.deliver_url, part.query),
            headers=((("content-type", part.content_type), *part.headers) if is_post else part.headers),
            body=part.payload,
        )


def _codec_of(request: WebhookRequest, fields: Mapping[str, str]) -> str:
    """Python's codec of the text; UTF-8 for what has no characters (``binary``)."""
    labelled = _CHARSET.search(request.header("content-type"))
    return codec_of(labelled[1] if labelled else fields.get("charset", "")) or "utf-8"

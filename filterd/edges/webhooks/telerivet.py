"""Telerivet: form calls with a shared secret in the field ``secret``.

Source: Telerivet, "Webhook API", event ``incoming_message``. Who has seen one call can forge others, and there is no
time: a replay is a duplicate ``id``. The secret is not stored with the message, but added again when it is forwarded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from filterd.edges.webhooks.adapter import WebhookReply
from filterd.edges.webhooks.credentials import check_field, without_field
from filterd.edges.webhooks.request import WebhookRequest, form_fields, name_of, text_of, unique_fields
from filterd.ports import ForwardRequest, SmsPart

_SECRET = "secret"  # noqa: S105  # the field's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Telerivet:
    """The adapter of one webhook service."""

    secret: str
    deliver_url: str = ""
    is_redirecting: bool = False
    name: str = "telerivet"
    methods: tuple[str, ...] = ("POST",)

    def verify(self, request: WebhookRequest, now: datetime) -> None:  # noqa: ARG002  # nothing is signed
        """Raises SignatureInvalid."""
        check_field(request.body, _SECRET, self.secret)

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The message; none for other events. Raises PayloadInvalid."""
        fields = unique_fields(form_fields(request.body))
        if fields.get("event") != "incoming_message":
            return ()
        part = SmsPart(
            provider=self.name,
            provider_id=name_of(fields.get("id"), "id"),
            sender=name_of(fields.get("from_number"), "from_number"),
            recipient=name_of(fields.get("to_number") or fields.get("phone_id"), "to_number"),
            text=text_of(fields.get("content", "")),
            received_at=now,
            payload=without_field(request.body.decode("latin-1"), _SECRET).encode("latin-1"),
            content_type=request.header("content-type"),
        )
        return (part,)

    def reply(self, *, is_ham: bool) -> WebhookReply:  # noqa: ARG002  # a JSON answer would be sent as an SMS
        """Empty."""
        return WebhookReply(status=200)

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:  # noqa: ARG002  # the scheme signs no time
        """The form as it came, with the secret at its end."""
        body = part.payload + b"&" + urlencode({_SECRET: self.secret}).encode()
        headers = (("content-type", part.content_type),)
        return ForwardRequest(method="POST", url=self.deliver_url, headers=headers, body=body)

"""Jasmin: its HTTP client connector hands on each message it received over SMPP, by GET or POST.

Source: Jasmin 0.11, HTTP API, "Receiving SMS-MO", and its ``routing/throwers.py``. Jasmin signs nothing: a token in
the connector's URL stands for a signature. Only the answer ``ACK/Jasmin`` ends its duty. The octets are as the SMS
centre sent them; which characters they are says the data coding (SMPP 3.4 section 5.2.19).
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from datetime import datetime

from filterd.core import gsm
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
from filterd.errors import PayloadInvalid
from filterd.ports import ForwardRequest, SmsPart

_CODECS = {"1": "ascii", "3": "iso8859-1", "6": "iso8859-5", "7": "iso8859-8", "8": "utf-16-be"}
"""Data coding -> codec. All others that have characters are variants of the default alphabet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jasmin:
    """The adapter of one gateway."""

    token: str
    is_default_gsm: bool = True
    deliver_url: str = ""
    is_redirecting: bool = False
    name: str = "jasmin"
    methods: tuple[str, ...] = ("POST", "GET")

    def verify(self, request: WebhookRequest, now: datetime) -> None:  # noqa: ARG002  # nothing is signed
        """Raises SignatureInvalid."""
        check_field(request.query, TOKEN, self.token)

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The message; none for a delivery receipt. Raises PayloadInvalid."""
        query = without_field(request.query, TOKEN)
        octets = unique_fields(octet_fields(request.body if request.method == "POST" else query))
        if "content" not in octets and "message_status" in octets:
            return ()
        fields = texts_of(octets)
        part = SmsPart(
            provider=self.name,
            provider_id=name_of(fields.get("id"), "id"),
            sender=number_of(fields.get("from"), "from"),
            recipient=number_of(fields.get("to"), "to"),
            text=text_of(self._text(_content(octets), fields.get("coding", "0"))),
            received_at=now,
            payload=request.body,
            content_type=request.header("content-type"),
            query=query,
        )
        return (part,)

    def _text(self, content: bytes, coding: str) -> str:
        if coding in _CODECS:
            return content.decode(_CODECS[coding], "replace")
        return gsm.decode(content) if self.is_default_gsm else content.decode("latin-1")

    def reply(self, *, is_ham: bool) -> WebhookReply:  # noqa: ARG002  # anything else would be sent again
        """The acknowledgement, letter by letter."""
        return WebhookReply(status=200, body=b"ACK/Jasmin")

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:  # noqa: ARG002  # nothing to sign
        """The call as received, less the token."""
        return ForwardRequest(
            method="POST" if part.payload else "GET",
            url=with_query(self.deliver_url, part.query),
            headers=(("content-type", part.content_type),) if part.content_type else (),
            body=part.payload,
        )


def _content(octets: dict[str, str]) -> bytes:
    """The message's octets: ``binary`` has them in hexadecimal digits, ``content`` perhaps recoded on the way."""
    try:
        return binascii.unhexlify(octets["binary"])
    except KeyError:
        return octets.get("content", "").encode("latin-1")
    except ValueError as exc:
        raise PayloadInvalid("binary is not hexadecimal") from exc

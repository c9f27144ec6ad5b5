"""Builds webhook calls as the providers send them, correctly signed: for the demo and for trying a configuration."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import NamedTuple
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from filterd.edges.webhooks import generic, plivo, twilio, vonage

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


class SignedRequest(NamedTuple):
    """One POST."""

    url: str
    headers: dict[str, str]
    body: bytes


def signed_request(
    provider: str, *, base_url: str, secret: str, id: str, sender: str, recipient: str, text: str, now: datetime
) -> SignedRequest:
    """The POST ``provider`` would send for one incoming SMS.

    ``secret`` is the provider's setting: Twilio's and Plivo's auth token, Vonage's signature secret (method sha256),
    the generic ``whsec_`` secret; for Telnyx the base64 private key that belongs to the configured public key.
    """
    url = f"{base_url.rstrip('/')}/webhooks/{provider}"
    build = {"twilio": _twilio, "vonage": _vonage, "telnyx": _telnyx, "plivo": _plivo, "generic": _generic}[provider]
    headers, body = build(url, secret, _Sms(id, sender, recipient, text), now)
    return SignedRequest(url, headers, body)


def telnyx_key_pair() -> tuple[str, str]:
    """A new Ed25519 key pair, base64: (private key for ``signed_request``, ``sms.telnyx.public_key``)."""
    private = Ed25519PrivateKey.generate()
    return (
        base64.b64encode(private.private_bytes_raw()).decode(),
        base64.b64encode(private.public_key().public_bytes_raw()).decode(),
    )


class _Sms(NamedTuple):
    id: str
    sender: str
    recipient: str
    text: str


_Signed = tuple[dict[str, str], bytes]


def _twilio(url: str, secret: str, sms: _Sms, now: datetime) -> _Signed:  # noqa: ARG001  # signs no time
    fields = {
        "AccountSid": "AC00000000000000000000000000000000",
        "MessageSid": sms.id,
        "From": sms.sender,
        "To": sms.recipient,
        "Body": sms.text,
        "NumMedia": "0",
        "NumSegments": "1",
    }
    headers = {"content-type": _FORM, "x-twilio-signature": twilio.signature(secret, url, fields.items())}
    return headers, urlencode(fields).encode()


def _vonage(url: str, secret: str, sms: _Sms, now: datetime) -> _Signed:  # noqa: ARG001  # not bound to the URL
    fields = {
        "api-key": "demo",
        "messageId": sms.id,
        "msisdn": sms.sender.lstrip("+"),
        "to": sms.recipient.lstrip("+"),
        "text": sms.text,
        "type": "text" if sms.text.isascii() else "unicode",
        "message-timestamp": now.strftime("%Y-%m-%d %H:%M:%S"),
        "timestamp": str(int(now.timestamp())),
        "nonce": sms.id,
    }
    fields["sig"] = vonage.signature(secret, "sha256", fields)
    return {"content-type": _FORM}, urlencode(fields).encode()


def _telnyx(url: str, secret: str, sms: _Sms, now: datetime) -> _Signed:  # noqa: ARG001  # not bound to the URL
    payload = {
        "id": sms.id,
        "direction": "inbound",
        "type": "SMS",
        "from": {"phone_number": sms.sender},
        "to": [{"phone_number": sms.recipient}],
        "text": sms.text,
        "parts": 1,
        "received_at": now.isoformat(),
    }
    event = {
        "data": {
            "event_type": "message.received",
            "id": f"event-{sms.id}",
            "occurred_at": now.isoformat(),
            "payload": payload,
        },
        "meta": {"attempt": 1},
    }
    body = json.dumps(event).encode()
    timestamp = str(int(now.timestamp()))
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret))
    headers = {
        "content-type": _JSON,
        "telnyx-timestamp": timestamp,
        "telnyx-signature-ed25519": base64.b64encode(key.sign(timestamp.encode() + b"|" + body)).decode(),
    }
    return headers, body


def _plivo(url: str, secret: str, sms: _Sms, now: datetime) -> _Signed:  # noqa: ARG001  # signs no time
    fields = {"From": sms.sender, "To": sms.recipient, "Type": "sms", "Text": sms.text, "MessageUUID": sms.id}
    body = urlencode(fields).encode()
    headers = {
        "content-type": _FORM,
        "x-plivo-signature-v3": plivo.signature_v3(secret, url, fields.items(), sms.id),
        "x-plivo-signature-v3-nonce": sms.id,
    }
    return headers, body


def _generic(url: str, secret: str, sms: _Sms, now: datetime) -> _Signed:  # noqa: ARG001  # not bound to the URL
    body = json.dumps({"id": sms.id, "from": sms.sender, "to": sms.recipient, "text": sms.text}).encode()
    headers = dict(generic.signed_headers(generic.key_of(secret), sms.id, now, body))
    return {"content-type": _JSON, **headers}, body

"""Genuine calls of every provider, signed by their SDKs, or by hand after their documents where there is none."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

import jwt as pyjwt
import standardwebhooks
from twilio.request_validator import RequestValidator

from filterd.demo.webhook_client import signed_request, telnyx_key_pair
from filterd.edges.webhooks import plivo as our_plivo
from filterd.edges.webhooks import vonage
from filterd.edges.webhooks.adapter import Adapter
from filterd.edges.webhooks.providers import adapters_of
from filterd.edges.webhooks.request import WebhookRequest
from filterd.sms_settings import SmsSettings
from tests.filterd import sns_topic

DATA = Path(__file__).parents[1] / "data" / "sms"
BASE = "https://sms.example.com"
CUSTOMER = "https://customer.example.net/in?tenant=7&b=2"
TOKEN = "0123456789abcdef0123456789abcdef"
LONG = TOKEN * 2
"""A key long enough for SHA-512."""
WHSEC = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, exact").decode()
TELNYX_PRIVATE, TELNYX_PUBLIC = telnyx_key_pair()
SECRETS = {"twilio": TOKEN, "vonage": TOKEN, "telnyx": TELNYX_PRIVATE, "plivo": TOKEN, "generic": WHSEC}
SHOWN = {name: f"shown-to-{name}" for name in ("infobip", "bandwidth", "telerivet", "kannel", "jasmin")}
"""Secrets that are shown in the call: each provider has its own, as nothing else tells them apart."""
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}


def the_settings(**changes: dict[str, Any]) -> SmsSettings:
    sections: dict[str, dict[str, Any]] = {
        "twilio": {"auth_token": TOKEN, "deliver_url": CUSTOMER},
        "vonage": {"signature_secret": TOKEN, "deliver_url": CUSTOMER},
        "telnyx": {"public_key": TELNYX_PUBLIC, "deliver_url": CUSTOMER},
        "plivo": {"auth_token": TOKEN, "deliver_url": CUSTOMER},
        "generic": {"secret": WHSEC, "deliver_url": CUSTOMER},
        "messagebird": {"signing_key": LONG, "deliver_url": CUSTOMER},
        "bird": {"signing_key": TOKEN, "deliver_url": CUSTOMER},
        "sinch": {"webhook_secret": TOKEN, "deliver_url": CUSTOMER},
        "infobip": {"username": "us:er", "password": SHOWN["infobip"], "deliver_url": CUSTOMER},
        "bandwidth": {"username": "ü", "password": SHOWN["bandwidth"], "deliver_url": CUSTOMER},
        "sns": {"topic_arns": (sns_topic.TOPIC,), "deliver_url": CUSTOMER},
        "telerivet": {"secret": SHOWN["telerivet"], "deliver_url": CUSTOMER},
        "kannel": {"token": SHOWN["kannel"], "deliver_url": CUSTOMER},
        "jasmin": {"token": SHOWN["jasmin"], "deliver_url": CUSTOMER},
    }
    for name, change in changes.items():
        sections[name] = sections[name] | change
    return SmsSettings.model_validate({"public_base_url": BASE, **sections})


def the_adapter(provider: str, **changes: object) -> Adapter:
    """The provider's adapter, with these changes of its settings."""
    return _adapters(the_settings(**{provider: changes}))[provider] if changes else _unchanged()[provider]


def _adapters(settings: SmsSettings) -> Mapping[str, Adapter]:
    return adapters_of(settings, {sns_topic.CERTIFICATE_URL: sns_topic.signer().certificate})


@functools.cache
def _unchanged() -> Mapping[str, Adapter]:
    return _adapters(the_settings())


def a_call(
    provider: str, headers: dict[str, str], body: bytes = b"", query: str = "", method: str = "POST"
) -> WebhookRequest:
    url = f"{BASE}/webhooks/{provider}"
    return WebhookRequest(
        method=method,
        url=f"{url}?{query}" if query else url,
        query=query,
        headers=tuple((name.lower(), value) for name, value in headers.items()),
        body=body,
    )


def signed(provider: str, text: str = "Hi & bye = ☕", now: datetime = NOW) -> WebhookRequest:
    made = signed_request(
        provider,
        base_url=BASE,
        secret=SECRETS[provider],
        id="id-1",
        sender="+15005550001",
        recipient="+15005550006",
        text=text,
        now=now,
    )
    return a_call(provider, made.headers, made.body)


def signed_twilio_json() -> WebhookRequest:
    body = (DATA / "twilio_json.json").read_bytes()
    query = f"foo=1&bodySHA256={hashlib.sha256(body).hexdigest()}"
    signature = RequestValidator(TOKEN).compute_signature(f"{BASE}/webhooks/twilio?{query}", {})
    return a_call("twilio", {**JSON, "X-Twilio-Signature": signature}, body, query)


def signed_vonage_json() -> WebhookRequest:
    fields = dict(parse_qsl((DATA / "vonage_sms.txt").read_text())) | {"timestamp": str(int(NOW.timestamp()))}
    fields["sig"] = vonage.signature(TOKEN, "sha256", fields)
    return a_call("vonage", JSON, json.dumps(fields).encode())


def signed_vonage_get() -> WebhookRequest:
    return a_call("vonage", {}, query=signed("vonage").body.decode(), method="GET")


def token_for(body: bytes, **changes: object) -> str:
    claims = {
        "iss": "Vonage",
        "iat": int(NOW.timestamp()),
        "jti": "j-1",
        "payload_hash": hashlib.sha256(body).hexdigest(),
    }
    return pyjwt.encode(claims | changes, TOKEN, algorithm="HS256")


def signed_vonage_token(**changes: object) -> WebhookRequest:
    body = (DATA / "vonage_messages.json").read_bytes()
    return a_call("vonage", {**JSON, "Authorization": f"Bearer {token_for(body, **changes)}"}, body)


def signed_plivo_v2() -> WebhookRequest:
    body = (DATA / "plivo_sms.txt").read_bytes()
    signature = our_plivo.signature_v2(TOKEN, f"{BASE}/webhooks/plivo", "5")
    headers = {**FORM, "X-Plivo-Signature-V2": signature, "X-Plivo-Signature-V2-Nonce": "5"}
    return a_call("plivo", headers, body)


def signed_messagebird(name: str, method: str = "POST", algorithm: str = "HS256") -> WebhookRequest:
    sample = (DATA / name).read_bytes()
    body, query = (b"", sample.decode()) if method == "GET" else (sample, "")
    content = {} if method == "GET" else JSON if name.endswith("json") else FORM
    call = a_call("messagebird", content, body, query, method)
    issued = int(NOW.timestamp())
    claims: dict[str, object] = {"iss": "MessageBird", "nbf": issued, "exp": issued + 60, "jti": "j"}
    claims["url_hash"] = hashlib.sha256(call.url.encode()).hexdigest()
    if body:
        claims["payload_hash"] = hashlib.sha256(body).hexdigest()
    return with_header(call, "messagebird-signature-jwt", pyjwt.encode(claims, LONG, algorithm=algorithm))


def signed_bird() -> WebhookRequest:
    body, stamp = (DATA / "bird_inbound.json").read_bytes(), str(int(NOW.timestamp()))
    text = f"{stamp}\n{BASE}/webhooks/bird\n".encode() + hashlib.sha256(body).digest()
    signature = base64.b64encode(hmac.digest(TOKEN.encode(), text, "sha256")).decode()
    return a_call("bird", {**JSON, "MessageBird-Signature": signature, "MessageBird-Request-Timestamp": stamp}, body)


def signed_bird_standard(now: datetime = NOW) -> WebhookRequest:
    body = (DATA / "bird_received.json").read_bytes()
    headers = {
        "webhook-id": "m-1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": standardwebhooks.Webhook(WHSEC).sign("m-1", now, body.decode()),
    }
    return a_call("bird", {**JSON, **headers}, body)


def signed_sinch() -> WebhookRequest:
    body, stamp = (DATA / "sinch_text.json").read_text(), str(int(NOW.timestamp()))
    text = f"{body}.n-1.{stamp}".encode()
    signature = base64.b64encode(hmac.digest(TOKEN.encode(), text, "sha256")).decode()
    headers = {
        "X-Sinch-Webhook-Signature": signature,
        "X-Sinch-Webhook-Signature-Nonce": "n-1",
        "X-Sinch-Webhook-Signature-Timestamp": stamp,
        "X-Sinch-Webhook-Signature-Algorithm": "HmacSHA256",
    }
    return a_call("sinch", {**JSON, **headers}, body.encode())


def shown_basic(provider: str, username: str, sample: str) -> WebhookRequest:
    encoded = base64.b64encode(f"{username}:{SHOWN[provider]}".encode()).decode()
    return a_call(provider, {**JSON, "Authorization": f"Basic {encoded}"}, (DATA / sample).read_bytes())


def signed_sns(version: str = "2", **changes: str) -> WebhookRequest:
    fields = json.loads((DATA / "sns_notification.json").read_bytes()) | {"SignatureVersion": version} | changes
    headers = {"content-type": "text/plain; charset=UTF-8", "x-amz-sns-message-type": "Notification"}
    return a_call("sns", headers, sns_topic.sign(fields))


def shown_telerivet() -> WebhookRequest:
    body = (DATA / "telerivet_message.txt").read_bytes().replace(b"SECRET", SHOWN["telerivet"].encode())
    return a_call("telerivet", FORM, body)


def shown_token(provider: str, sample: str, method: str) -> WebhookRequest:
    fields, token = (DATA / sample).read_text(), f"token={SHOWN[provider]}"
    if provider == "jasmin" and method == "POST":
        return a_call(provider, FORM, fields.encode(), token)
    if method == "GET":
        return a_call(provider, {}, query=f"{token}&{fields}", method="GET")
    query, _, text = fields.partition("&text=")
    body = unquote_to_bytes(text.replace("+", "%20"))
    charset = dict(parse_qsl(fields))["charset"]
    headers = {"content-type": f'text/plain; charset="{charset}"', "x-kannel-smsc": "centre"}
    return a_call(provider, headers, body, f"{query.partition('&charset=')[0]}&{token}")


def with_header(call: WebhookRequest, name: str, value: str | None) -> WebhookRequest:
    kept = tuple((n, v) for n, v in call.headers if n != name)
    return replace(call, headers=kept if value is None else (*kept, (name, value)))


CALLS: dict[str, Callable[[], WebhookRequest]] = {
    "twilio-form": lambda: signed("twilio"),
    "twilio-json": signed_twilio_json,
    "vonage-form": lambda: signed("vonage"),
    "vonage-json": signed_vonage_json,
    "vonage-get": signed_vonage_get,
    "vonage-token": signed_vonage_token,
    "telnyx": lambda: signed("telnyx"),
    "plivo-v3": lambda: signed("plivo"),
    "plivo-v2": signed_plivo_v2,
    "generic": lambda: signed("generic"),
    "messagebird-json": lambda: signed_messagebird("messagebird_json.json"),
    "messagebird-form": lambda: signed_messagebird("messagebird_flow.txt", algorithm="HS512"),
    "messagebird-get": lambda: signed_messagebird("messagebird_flow.txt", method="GET", algorithm="HS384"),
    "bird": signed_bird,
    "sinch": signed_sinch,
    "infobip": lambda: shown_basic("infobip", "us:er", "infobip_one.json"),
    "bandwidth": lambda: shown_basic("bandwidth", "ü", "bandwidth_received.json"),
    "sns-v1": lambda: signed_sns("1"),
    "sns-v2": lambda: signed_sns("2", Subject="SMS"),
    "telerivet": shown_telerivet,
    "kannel-get": lambda: shown_token("kannel", "kannel_utf8.txt", "GET"),
    "kannel-post": lambda: shown_token("kannel", "kannel_ucs2.txt", "POST"),
    "jasmin-post": lambda: shown_token("jasmin", "jasmin_gsm.txt", "POST"),
    "jasmin-get": lambda: shown_token("jasmin", "jasmin_ucs2.txt", "GET"),
}
"""Genuine calls of every kind, by provider and kind."""


def provider_of(name: str) -> str:
    return name.partition("-")[0]

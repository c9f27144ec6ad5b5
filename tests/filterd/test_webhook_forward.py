"""Calls handed on to the customer: the body unchanged, the signature one that the customer's own check accepts."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from urllib.parse import parse_qsl

import jwt as pyjwt
import plivo.utils
import pytest
from twilio.request_validator import RequestValidator
from vonage_http_client.auth import Auth
from vonage_jwt.verify_jwt import verify_signature

from filterd.edges.webhooks.request import WebhookRequest
from tests.filterd.webhook_calls import (
    CALLS,
    CUSTOMER,
    NOW,
    TOKEN,
    provider_of,
    the_adapter,
)

each_call = pytest.mark.parametrize("name", CALLS)
LATER = NOW + timedelta(hours=2)


def forwarded(name: str) -> tuple[WebhookRequest, str]:
    """The call the customer gets two hours later, and its URL."""
    adapter = the_adapter(provider_of(name))
    (part,) = adapter.parse(CALLS[name](), NOW)
    request = adapter.forward(part, LATER)
    call = WebhookRequest(
        method=request.method,
        url=request.url,
        query=request.url.partition("?")[2],
        headers=request.headers,
        body=request.body,
    )
    return call, request.url


@each_call
def test_forward_when_a_message_passes_then_body_and_content_type_are_unchanged(name: str) -> None:
    original = CALLS[name]()

    call, url = forwarded(name)

    if name != "telerivet":  # its secret stands in the body
        assert call.body == original.body
    assert call.header("content-type") == original.header("content-type")
    assert url.startswith(CUSTOMER)
    assert call.method == original.method


@pytest.mark.parametrize("name", ["twilio-form", "twilio-json"])
def test_forward_when_twilio_then_the_sdk_accepts_it_at_the_customer_url(name: str) -> None:
    call, url = forwarded(name)
    body = call.body.decode()
    params = body if name == "twilio-json" else dict(parse_qsl(body, keep_blank_values=True))

    assert RequestValidator(TOKEN).validate(url, params, call.header("x-twilio-signature"))


@pytest.mark.parametrize("name", ["plivo-v2", "plivo-v3"])
def test_forward_when_plivo_then_the_sdk_accepts_it_at_the_customer_url(name: str) -> None:
    call, url = forwarded(name)
    nonce, signature = call.header("x-plivo-signature-v3-nonce"), call.header("x-plivo-signature-v3")
    v2_nonce, v2 = call.header("x-plivo-signature-v2-nonce"), call.header("x-plivo-signature-v2")

    assert plivo.utils.validate_v3_signature("POST", url, nonce, TOKEN, signature, dict(parse_qsl(call.body.decode())))
    assert plivo.utils.validate_signature(url, v2_nonce, v2, TOKEN)


@pytest.mark.parametrize("name", ["vonage-form", "vonage-json", "vonage-get"])
def test_forward_when_vonage_sms_then_the_sdk_accepts_the_parameters(name: str) -> None:
    call, url = forwarded(name)
    auth = Auth(api_key="k", signature_secret=TOKEN, signature_method="sha256")
    text = call.body.decode() or url.removeprefix(f"{CUSTOMER}&")
    fields = json.loads(text) if name == "vonage-json" else dict(parse_qsl(text))

    assert auth.check_signature(fields)


def test_forward_when_vonage_messages_then_the_token_is_issued_anew_for_the_same_body() -> None:
    call, _ = forwarded("vonage-token")

    encoded = call.header("authorization").removeprefix("Bearer ")
    assert verify_signature(encoded, TOKEN)
    the_adapter("vonage").verify(call, LATER)


@pytest.mark.parametrize("name", ["messagebird-json", "messagebird-form", "messagebird-get"])
def test_forward_when_messagebird_then_the_token_is_about_the_customers_url(name: str) -> None:
    call, url = forwarded(name)

    claims = pyjwt.decode(call.header("messagebird-signature-jwt"), options={"verify_signature": False})
    assert claims["url_hash"] == hashlib.sha256(url.encode()).hexdigest()
    the_adapter("messagebird").verify(call, LATER)


def test_forward_when_bird_then_it_is_signed_for_the_customers_url_and_the_time_of_the_call() -> None:
    call, _ = forwarded("bird")

    the_adapter("bird").verify(call, LATER)


def test_forward_when_telnyx_then_the_provider_signature_goes_along() -> None:
    call, _ = forwarded("telnyx")

    the_adapter("telnyx").verify(call, NOW)


def test_forward_when_generic_then_it_is_signed_anew_so_that_it_is_not_too_old() -> None:
    call, _ = forwarded("generic")

    the_adapter("generic").verify(call, LATER)
    assert call.header("webhook-id") == "id-1"

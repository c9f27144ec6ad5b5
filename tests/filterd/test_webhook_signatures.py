"""Signatures of genuine calls against the providers' own SDKs, both ways."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlencode

import jwt as pyjwt
import nacl.signing
import plivo.utils
import pytest
import standardwebhooks
from twilio.request_validator import RequestValidator
from vonage_http_client.auth import Auth

from filterd.edges.webhooks import bird as our_bird
from filterd.edges.webhooks import generic, twilio, vonage
from filterd.edges.webhooks import messagebird as our_messagebird
from filterd.edges.webhooks import plivo as our_plivo
from filterd.errors import SignatureInvalid
from tests.filterd.webhook_calls import (
    BASE,
    CALLS,
    CUSTOMER,
    DATA,
    FORM,
    JSON,
    LONG,
    NOW,
    TELNYX_PUBLIC,
    TOKEN,
    WHSEC,
    a_call,
    provider_of,
    signed,
    signed_bird_standard,
    signed_messagebird,
    signed_plivo_v2,
    the_adapter,
    with_header,
)

each_call = pytest.mark.parametrize("name", CALLS)


@each_call
def test_verify_when_the_call_is_genuine_then_it_is_accepted(name: str) -> None:
    adapter, call = the_adapter(provider_of(name)), CALLS[name]()

    adapter.verify(call, NOW)
    (part,) = adapter.parse(call, NOW)

    assert part.provider == provider_of(name)
    assert part.payload in call.body  # less the secret, where one stands there


@pytest.mark.parametrize("base", ["https://sms.example.com", "https://sms.example.com:443", "https://[2001:db8::1]"])
@pytest.mark.parametrize("signed_base", ["with-port", "without-port"])
def test_twilio_verify_when_the_sdk_signed_then_the_port_does_not_matter(base: str, signed_base: str) -> None:
    body = (DATA / "twilio_form.txt").read_bytes()
    bare = base.removesuffix(":443")
    url = (f"{bare}:443" if signed_base == "with-port" else bare) + "/webhooks/twilio?a=1"
    signature = RequestValidator(TOKEN).compute_signature(url, dict(parse_qsl(body.decode(), keep_blank_values=True)))
    call = a_call("twilio", {**FORM, "X-Twilio-Signature": signature}, body, "a=1")

    the_adapter("twilio").verify(replace(call, url=f"{base}/webhooks/twilio?a=1"), NOW)


def test_twilio_signature_when_computed_then_it_is_the_one_in_the_documentation() -> None:
    """The worked example of Twilio's "Webhooks security" page."""
    caller = "+14158675309"
    fields = {"CallSid": "CA1234567890ABCDE", "Caller": caller, "Digits": "1234", "From": caller, "To": "+18005551212"}

    ours = twilio.signature("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", fields.items())

    assert ours == "RSOYDt4T1cUTdK1PDd93/VVr8B8="


@pytest.mark.parametrize("method", ["md5", "sha1", "sha256", "sha512"])
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_vonage_verify_when_the_sdk_signed_then_it_is_accepted(method: str, case: Callable[[str], str]) -> None:
    auth = Auth(api_key="k", signature_secret=TOKEN, signature_method=method)
    fields = dict(parse_qsl((DATA / "vonage_sms.txt").read_text())) | {"timestamp": str(int(NOW.timestamp()))}
    fields["sig"] = case(auth.sign_params(dict(fields)))
    call = a_call("vonage", FORM, urlencode(fields).encode())

    the_adapter("vonage", signature_method=method).verify(call, NOW)


@pytest.mark.parametrize("method", ["md5", "sha1", "sha256", "sha512"])
def test_vonage_signature_when_we_sign_then_the_sdk_accepts_it(method: str) -> None:
    auth = Auth(api_key="k", signature_secret=TOKEN, signature_method=method)
    fields = {"text": "a=b&c=d ☕", "timestamp": "1767225600", "to": "15005550006"}

    assert auth.check_signature(fields | {"sig": vonage.signature(TOKEN, method, fields)})


def test_vonage_verify_when_the_method_is_md5hash_then_the_secret_is_appended() -> None:
    stamp = str(int(NOW.timestamp()))
    sig = hashlib.md5(f"&messageId=1&msisdn=2&text=a_b&timestamp={stamp}&to=3{TOKEN}".encode()).hexdigest()
    fields = {"messageId": "1", "msisdn": "2", "text": "a=b", "timestamp": stamp, "to": "3", "sig": sig}

    the_adapter("vonage", signature_method="md5hash").verify(a_call("vonage", FORM, urlencode(fields).encode()), NOW)


def test_telnyx_verify_when_the_sdk_signing_library_signed_then_it_is_accepted() -> None:
    key = nacl.signing.SigningKey.generate()
    body, stamp = (DATA / "telnyx_received.json").read_bytes(), str(int(NOW.timestamp()))
    signature = base64.b64encode(key.sign(stamp.encode() + b"|" + body).signature).decode()
    public = base64.b64encode(key.verify_key.encode()).decode()
    call = a_call("telnyx", {**JSON, "Telnyx-Timestamp": stamp, "Telnyx-Signature-Ed25519": signature}, body)

    the_adapter("telnyx", public_key=public).verify(call, NOW)


@pytest.mark.slow
def test_telnyx_request_when_we_sign_then_the_sdk_accepts_it() -> None:
    import telnyx  # noqa: PLC0415  # it loads a thousand modules, which every collection would pay for

    call = signed("telnyx", now=datetime.now(UTC))

    event = telnyx.Telnyx(api_key="k").webhooks.unwrap(
        call.body.decode(), headers=dict(call.headers), key=TELNYX_PUBLIC
    )

    assert event.data.payload.text == "Hi & bye = ☕"


@pytest.mark.parametrize("query", ["", "b=2&a=1&a=0&c="])
def test_plivo_signatures_when_we_sign_then_the_sdk_accepts_them(query: str) -> None:
    body = (DATA / "plivo_sms.txt").read_bytes()
    url = f"{BASE}/webhooks/plivo" + (f"?{query}" if query else "")
    headers = dict(our_plivo.signed_headers(TOKEN, url, body))
    v2, v2_nonce = headers["x-plivo-signature-v2"], headers["x-plivo-signature-v2-nonce"]
    v3, v3_nonce = headers["x-plivo-signature-v3"], headers["x-plivo-signature-v3-nonce"]
    fields = dict(parse_qsl(body.decode()))

    assert plivo.utils.validate_signature(url, v2_nonce, v2, TOKEN)
    assert plivo.utils.validate_v3_signature("POST", url, v3_nonce, TOKEN, v3, fields)


@pytest.mark.parametrize("query", ["", "b=2&a=1&a=0&c="])
def test_plivo_verify_when_the_sdk_computed_v3_then_one_of_a_list_is_enough(query: str) -> None:
    body, url = (DATA / "plivo_sms.txt").read_bytes(), f"{BASE}/webhooks/plivo" + (f"?{query}" if query else "")
    sdk = plivo.utils.signature_v3
    base = sdk.construct_post_url(url, dict(parse_qsl(body.decode()))).decode()
    signature = sdk.get_signature_v3(TOKEN.encode(), base, "n-1").decode()
    headers = {**FORM, "X-Plivo-Signature-V3": f"AAAA,{signature}", "X-Plivo-Signature-V3-Nonce": "n-1"}

    the_adapter("plivo").verify(a_call("plivo", headers, body, query), NOW)


def test_plivo_verify_when_the_main_account_signed_then_it_is_accepted() -> None:
    call = signed_plivo_v2()
    signature = call.header("x-plivo-signature-v2")
    call = with_header(with_header(call, "x-plivo-signature-v2", "AAAA"), "x-plivo-signature-ma-v2", signature)

    the_adapter("plivo").verify(call, NOW)


def test_generic_verify_when_the_reference_library_signed_then_one_of_a_list_is_enough() -> None:
    body = (DATA / "generic_whole.json").read_bytes()
    signature = standardwebhooks.Webhook(WHSEC).sign("m-1", NOW, body.decode())
    headers = {
        **JSON,
        "webhook-id": "m-1",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": f"v1,AAAA v1a,{signature[3:]} {signature}",
    }

    the_adapter("generic").verify(a_call("generic", headers, body), NOW)


def test_generic_signature_when_we_sign_then_the_reference_library_accepts_it() -> None:
    body = (DATA / "generic_whole.json").read_bytes()
    headers = dict(generic.signed_headers(generic.key_of(WHSEC), "m-1", datetime.now(UTC), body))

    assert standardwebhooks.Webhook(WHSEC).verify(body, headers)["id"] == "m-1"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_messagebird_verify_when_the_algorithm_is_one_of_the_sdks_then_it_is_accepted(algorithm: str) -> None:
    call = signed_messagebird("messagebird_json.json", algorithm=algorithm)

    the_adapter("messagebird").verify(call, NOW)


def test_messagebird_signature_when_we_sign_then_the_sdk_accepts_it() -> None:
    from messagebird.request_validator import RequestValidator as Sdk  # noqa: PLC0415  # few tests need it

    url, body = f"{CUSTOMER}&c=3", (DATA / "messagebird_json.json").read_bytes()
    sdk = Sdk(LONG)

    for signed_body in (body, b""):
        made = our_messagebird.signature(LONG, url, signed_body, datetime.now(UTC))
        assert sdk.validate_signature(made, url, signed_body)["jti"]


@pytest.mark.parametrize("claim", ["iss", "nbf", "exp", "url_hash", "payload_hash"])
def test_d1_messagebird_verify_when_the_token_lacks_a_claim_then_it_is_refused(claim: str) -> None:
    call = signed_messagebird("messagebird_json.json")
    claims = pyjwt.decode(call.header("messagebird-signature-jwt"), options={"verify_signature": False})
    encoded = pyjwt.encode({k: v for k, v in claims.items() if k != claim}, LONG, algorithm="HS256")

    with pytest.raises(SignatureInvalid):
        the_adapter("messagebird").verify(with_header(call, "messagebird-signature-jwt", encoded), NOW)


def test_bird_verify_when_the_documented_call_comes_then_its_signature_holds() -> None:
    """Computed apart from our code, as Bird's documentation does in PHP."""
    text = b"1719823259\nhttps://domain.com/webhook/bird\n" + hashlib.sha256(b"{}").digest()
    expected = base64.b64encode(hmac.digest(b"secureSigningKey", text, "sha256")).decode()

    assert our_bird.signature(b"secureSigningKey", "1719823259", "https://domain.com/webhook/bird", b"{}") == expected


def test_bird_verify_when_the_key_is_of_standard_webhooks_then_only_such_calls_are_accepted() -> None:
    adapter = the_adapter("bird", signing_key=WHSEC)
    call = signed_bird_standard()

    adapter.verify(call, NOW)
    with pytest.raises(SignatureInvalid):
        adapter.verify(CALLS["bird"](), NOW)
    with pytest.raises(SignatureInvalid):
        the_adapter("bird").verify(call, NOW)


def test_forward_when_bird_standard_then_the_reference_library_accepts_it_at_any_later_time() -> None:
    adapter = the_adapter("bird", signing_key=WHSEC)
    (part,) = adapter.parse(signed_bird_standard(), NOW)

    request = adapter.forward(part, datetime.now(UTC))
    event = standardwebhooks.Webhook(WHSEC).verify(request.body, dict(request.headers))
    assert event["data"]["text"] == part.text == "Your book is ready at the library"


def test_forward_when_sinch_then_the_sdk_accepts_it() -> None:
    from sinch.domains.sms.sinch_events.v1.sms_sinch_event import SmsSinchEvent  # noqa: PLC0415  # seconds to load

    (part,) = the_adapter("sinch").parse(CALLS["sinch"](), NOW)

    request = the_adapter("sinch").forward(part, datetime.now(UTC))

    sdk = SmsSinchEvent(TOKEN)
    assert sdk.validate_authentication_header(dict(request.headers), request.body)
    assert sdk.parse_event(request.body).body == part.text

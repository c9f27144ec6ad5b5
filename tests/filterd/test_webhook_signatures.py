"""Signatures of the five providers against their own SDKs, both ways, and against everything that is not genuine.

Threats D1 (forgery), D2 (URL poisoning), D3 (replay) and D4 (timing) of docs/threats.md.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import jwt as pyjwt
import nacl.signing
import plivo.utils
import pytest
import standardwebhooks
import telnyx
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc._rfc7518.jws_algs import HMACAlgorithm
from twilio.request_validator import RequestValidator
from vonage_http_client.auth import Auth
from vonage_jwt.verify_jwt import verify_signature

from filterd.demo.webhook_client import signed_request, telnyx_key_pair
from filterd.edges.webhooks import generic, twilio, vonage
from filterd.edges.webhooks import plivo as our_plivo
from filterd.edges.webhooks.adapter import Adapter
from filterd.edges.webhooks.providers import adapters_of
from filterd.edges.webhooks.request import WebhookRequest
from filterd.errors import ConfigError, FilterdError, PayloadInvalid, SignatureInvalid, Unsigned
from filterd.ports import SmsPart
from filterd.settings import SmsSettings

DATA = Path(__file__).parents[1] / "data" / "sms"
BASE = "https://sms.example.com"
CUSTOMER = "https://customer.example.net/in?tenant=7&b=2"
TOKEN = "0123456789abcdef0123456789abcdef"
WHSEC = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, exact").decode()
TELNYX_PRIVATE, TELNYX_PUBLIC = telnyx_key_pair()
SECRETS = {"twilio": TOKEN, "vonage": TOKEN, "telnyx": TELNYX_PRIVATE, "plivo": TOKEN, "generic": WHSEC}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}


def the_settings(**changes: dict[str, str]) -> SmsSettings:
    sections = {
        "twilio": {"auth_token": TOKEN, "deliver_url": CUSTOMER},
        "vonage": {"signature_secret": TOKEN, "deliver_url": CUSTOMER},
        "telnyx": {"public_key": TELNYX_PUBLIC, "deliver_url": CUSTOMER},
        "plivo": {"auth_token": TOKEN, "deliver_url": CUSTOMER},
        "generic": {"secret": WHSEC, "deliver_url": CUSTOMER},
    }
    for name, change in changes.items():
        sections[name] = sections[name] | change
    return SmsSettings.model_validate({"public_base_url": BASE, **sections})


def the_adapter(provider: str, **changes: str) -> Adapter:
    return adapters_of(the_settings(**{provider: changes}))[provider]


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
}
each_call = pytest.mark.parametrize("name", CALLS)


def provider_of(name: str) -> str:
    return name.partition("-")[0]


def with_header(call: WebhookRequest, name: str, value: str | None) -> WebhookRequest:
    kept = tuple((n, v) for n, v in call.headers if n != name)
    return replace(call, headers=kept if value is None else (*kept, (name, value)))


# --- genuine calls ---------------------------------------------------------------------------------------------------


@each_call
def test_verify_when_the_call_is_genuine_then_it_is_accepted(name: str) -> None:
    adapter, call = the_adapter(provider_of(name)), CALLS[name]()

    adapter.verify(call, NOW)
    (part,) = adapter.parse(call, NOW)

    assert (part.provider, part.payload) == (provider_of(name), call.body)


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


def test_telnyx_request_when_we_sign_then_the_sdk_accepts_it() -> None:
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


# --- forged calls ----------------------------------------------------------------------------------------------------


SIGNATURE_HEADERS = {
    "twilio-form": "x-twilio-signature",
    "twilio-json": "x-twilio-signature",
    "vonage-token": "authorization",
    "telnyx": "telnyx-signature-ed25519",
    "plivo-v3": "x-plivo-signature-v3",
    "plivo-v2": "x-plivo-signature-v2",
    "generic": "webhook-signature",
}


@pytest.mark.parametrize("name", SIGNATURE_HEADERS)
@pytest.mark.parametrize("value", [None, "", "AAAA", "v1,", "Bearer ", "Bearer a.b.c", "\xff\xfe", "é"])
def test_d1_verify_when_the_signature_is_missing_or_nonsense_then_it_is_refused(name: str, value: str | None) -> None:
    call = with_header(CALLS[name](), SIGNATURE_HEADERS[name], value)

    with pytest.raises((SignatureInvalid, Unsigned)):
        the_adapter(provider_of(name)).verify(call, NOW)


@pytest.mark.parametrize("name", SIGNATURE_HEADERS)
def test_d1_verify_when_the_signature_header_is_there_twice_then_it_is_refused(name: str) -> None:
    call = CALLS[name]()
    header = SIGNATURE_HEADERS[name]
    call = replace(call, headers=(*call.headers, (header, call.header(header))))

    with pytest.raises((SignatureInvalid, Unsigned)):
        the_adapter(provider_of(name)).verify(call, NOW)


@each_call
def test_d1_verify_when_the_key_is_another_then_it_is_refused(name: str) -> None:
    other = {
        "twilio": {"auth_token": "f" * 32},
        "vonage": {"signature_secret": "f" * 32},
        "telnyx": {"public_key": telnyx_key_pair()[1]},
        "plivo": {"auth_token": "f" * 32},
        "generic": {"secret": "whsec_" + base64.b64encode(b"f" * 32).decode()},
    }[provider_of(name)]

    with pytest.raises(SignatureInvalid):
        the_adapter(provider_of(name), **other).verify(CALLS[name](), NOW)


@each_call
@pytest.mark.parametrize("provider", SECRETS)
def test_d1_verify_when_another_provider_signed_then_it_is_refused(name: str, provider: str) -> None:
    """All providers here share one secret where they can: the scheme alone keeps them apart."""
    if provider == provider_of(name):
        return
    call = CALLS[name]()
    call = replace(call, url=call.url.replace(provider_of(name), provider))

    with pytest.raises((SignatureInvalid, Unsigned)):
        the_adapter(provider).verify(call, NOW)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def read(adapter: Adapter, call: WebhookRequest) -> tuple[SmsPart, ...] | None:
    """What the call says, or None if it is refused."""
    try:
        adapter.verify(call, NOW)
        return adapter.parse(call, NOW)
    except FilterdError:
        return None


@pytest.mark.parametrize("name", [n for n in CALLS if n not in {"plivo-v2", "vonage-get"}])
def test_d1_read_when_any_bit_of_the_body_flips_then_it_is_refused_or_says_the_same(name: str) -> None:
    """A flip may turn ``%2B`` into ``%2b``, or the case of a hex signature: then the message itself is unchanged."""
    adapter, call = the_adapter(provider_of(name)), CALLS[name]()
    (genuine,) = adapter.parse(call, NOW)

    for bit in range(len(call.body) * 8):
        body = flipped(call.body, bit)
        assert read(adapter, replace(call, body=body)) in (None, (replace(genuine, payload=body),))


@pytest.mark.parametrize("name", ["twilio-form", "twilio-json", "plivo-v3", "plivo-v2"])
def test_d1_verify_when_any_bit_of_the_url_flips_then_it_is_refused(name: str) -> None:
    adapter, call = the_adapter(provider_of(name)), CALLS[name]()

    for bit in range(len("https://") * 8, len(call.url) * 8):
        url = flipped(call.url.encode(), bit).decode("latin-1")
        with pytest.raises((SignatureInvalid, ValueError)):  # ValueError: no URL any more, and it is our own setting
            adapter.verify(replace(call, url=url), NOW)


@pytest.mark.parametrize("name", SIGNATURE_HEADERS)
def test_d1_verify_when_any_bit_of_the_signature_flips_then_it_is_refused(name: str) -> None:
    adapter, call, header = the_adapter(provider_of(name)), CALLS[name](), SIGNATURE_HEADERS[name]
    value = call.header(header).encode("latin-1")
    start = len("Bearer ") if header == "authorization" else 0

    for bit in range(start * 8, len(value) * 8):
        forged = with_header(call, header, flipped(value, bit).decode("latin-1"))
        with pytest.raises((SignatureInvalid, Unsigned)):
            adapter.verify(forged, NOW)


def test_d1_read_when_any_bit_of_a_signed_query_flips_then_it_is_refused_or_says_the_same() -> None:
    adapter, call = the_adapter("vonage"), signed_vonage_get()
    (genuine,) = adapter.parse(call, NOW)

    for bit in range(len(call.query) * 8):
        query = flipped(call.query.encode(), bit).decode("latin-1")
        assert read(adapter, replace(call, query=query)) in (None, (replace(genuine, query=query),))


@given(
    headers=st.lists(st.tuples(st.sampled_from([*SIGNATURE_HEADERS.values(), "content-type"]), st.text())),
    body=st.binary(),
)
@settings(max_examples=300, deadline=None)
def test_d1_verify_when_the_call_is_arbitrary_then_only_our_errors_are_raised(
    headers: list[tuple[str, str]], body: bytes
) -> None:
    for provider in SECRETS:
        call = replace(a_call(provider, {}, body), headers=tuple(headers))

        with pytest.raises((SignatureInvalid, Unsigned)):
            the_adapter(provider).verify(call, NOW)


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "", "multipart/form-data; boundary=x"])
def test_d1_twilio_verify_when_a_signed_form_is_sent_as_another_type_then_it_is_refused(media_type: str) -> None:
    call = with_header(signed("twilio"), "content-type", media_type)

    with pytest.raises(SignatureInvalid):
        the_adapter("twilio").verify(call, NOW)


def test_d1_twilio_verify_when_json_has_no_body_hash_then_it_is_refused() -> None:
    body = (DATA / "twilio_json.json").read_bytes()
    signature = RequestValidator(TOKEN).compute_signature(f"{BASE}/webhooks/twilio", {})

    with pytest.raises(SignatureInvalid, match="bodySHA256"):
        the_adapter("twilio").verify(a_call("twilio", {**JSON, "X-Twilio-Signature": signature}, body), NOW)


@pytest.mark.parametrize("name", ["vonage-form", "plivo-v3"])
def test_d1_read_when_a_parameter_is_there_twice_then_it_is_refused(name: str) -> None:
    """Readers would disagree about which one counts."""
    call = CALLS[name]()

    assert read(the_adapter(provider_of(name)), replace(call, body=call.body + b"&to=1&To=1")) is None
    assert read(the_adapter(provider_of(name)), replace(call, body=call.body + b"&" + call.body)) is None


def test_d1_twilio_parse_when_a_repeated_field_has_a_valid_signature_then_it_is_refused() -> None:
    """Twilio signs the sorted set of values, so a repeated field could change places unseen."""
    call = signed("twilio")
    doubled = replace(call, body=call.body + b"&" + call.body)
    the_adapter("twilio").verify(doubled, NOW)

    with pytest.raises(PayloadInvalid, match="twice"):
        the_adapter("twilio").parse(doubled, NOW)


def test_d1_plivo_verify_when_v3_is_wrong_then_a_right_v2_does_not_help() -> None:
    call = signed("plivo")

    with pytest.raises(SignatureInvalid):
        the_adapter("plivo").verify(with_header(call, "x-plivo-signature-v3", "AAAA"), NOW)


def test_d1_plivo_verify_when_v3_is_required_then_v2_alone_is_refused() -> None:
    """V2 does not sign the form: any text could stand in it."""
    forged = replace(signed_plivo_v2(), body=b"From=1&To=2&Text=forged&MessageUUID=3")
    the_adapter("plivo").verify(forged, NOW)

    with pytest.raises(SignatureInvalid):
        the_adapter("plivo", require_v3="true").verify(forged, NOW)
    the_adapter("plivo", require_v3="true").verify(signed("plivo"), NOW)


def test_d1_vonage_verify_when_there_is_no_signature_at_all_then_it_is_told_apart_from_a_wrong_one() -> None:
    """Vonage is known to send a call unsigned and to try again."""
    body = (DATA / "vonage_sms.txt").read_bytes()

    with pytest.raises(Unsigned):
        the_adapter("vonage").verify(a_call("vonage", FORM, body), NOW)
    with pytest.raises(SignatureInvalid):
        the_adapter("vonage").verify(a_call("vonage", FORM, body + b"&sig="), NOW)


@pytest.mark.parametrize("changes", [{"payload_hash": "0" * 64}, {"payload_hash": None}, {"jti": ""}, {"iat": None}])
def test_d1_vonage_verify_when_the_token_lacks_a_claim_then_it_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(SignatureInvalid):
        the_adapter("vonage").verify(signed_vonage_token(**changes), NOW)


@pytest.mark.parametrize("algorithm", ["none", "HS512"])
def test_d1_vonage_verify_when_the_token_names_another_algorithm_then_it_is_refused(algorithm: str) -> None:
    call = signed_vonage_token()
    claims = pyjwt.decode(call.header("authorization")[7:], options={"verify_signature": False})
    encoded = pyjwt.encode(claims, "" if algorithm == "none" else TOKEN * 2, algorithm=algorithm)

    with pytest.raises(SignatureInvalid):
        the_adapter("vonage").verify(with_header(call, "authorization", f"Bearer {encoded}"), NOW)


@pytest.mark.parametrize("name", ["vonage-form", "vonage-json", "vonage-get", "vonage-token", "telnyx", "generic"])
@pytest.mark.parametrize("seconds", [-301, 301])
def test_d3_verify_when_the_signed_time_is_far_off_then_it_is_refused(name: str, seconds: int) -> None:
    adapter, call = the_adapter(provider_of(name)), CALLS[name]()
    adapter.verify(call, NOW + timedelta(seconds=299 if seconds > 0 else -299))

    with pytest.raises(SignatureInvalid, match="too old or too new"):
        adapter.verify(call, NOW + timedelta(seconds=seconds))


# --- forwarding ------------------------------------------------------------------------------------------------------


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

    assert (call.body, call.header("content-type")) == (original.body, original.header("content-type"))
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


def test_forward_when_telnyx_then_the_provider_signature_goes_along() -> None:
    call, _ = forwarded("telnyx")

    the_adapter("telnyx").verify(call, NOW)


def test_forward_when_generic_then_it_is_signed_anew_so_that_it_is_not_too_old() -> None:
    call, _ = forwarded("generic")

    the_adapter("generic").verify(call, LATER)
    assert call.header("webhook-id") == "id-1"


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "changes"),
    [
        ("telnyx", {"public_key": "AAAA"}),
        ("telnyx", {"public_key": "%"}),
        ("generic", {"secret": "whsec_AAAA"}),
        ("generic", {"secret": "whsec_é"}),
        ("twilio", {"deliver_url": "ftp://customer.example.net/in"}),
        ("plivo", {"deliver_url": "customer.example.net/in"}),
        ("vonage", {"deliver_url": "https:///in"}),
        ("vonage", {"deliver_url": "https://a.example/in\r\nx: y"}),
        ("generic", {"deliver_url": "https://[::1/in"}),
    ],
)
def test_adapters_of_when_a_key_or_url_cannot_be_used_then_the_setting_is_named(
    provider: str, changes: dict[str, str]
) -> None:
    with pytest.raises(ConfigError, match=f"sms.{provider}."):
        the_adapter(provider, **changes)


def test_adapters_of_when_nothing_is_set_then_every_provider_is_off() -> None:
    assert not adapters_of(SmsSettings())


@pytest.mark.parametrize("name", sorted(set(SIGNATURE_HEADERS) - {"telnyx", "vonage-token"}))
@pytest.mark.parametrize("at", [4, -4], ids=["early", "late"])
def test_d4_verify_when_a_signature_differs_early_or_late_then_the_whole_is_compared(
    name: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two others are checked by libraries: Ed25519 has no secret to leak, joserfc compares as we do."""
    call, header = CALLS[name](), SIGNATURE_HEADERS[name]
    value = call.header(header)
    forged = value[:at] + ("B" if value[at] == "A" else "A") + value[at:][1:]
    compared: list[tuple[bytes, bytes]] = []

    def watched(ours: bytes, given: bytes) -> bool:
        compared.append((ours, given))
        return False

    monkeypatch.setattr(hmac, "compare_digest", watched)

    with pytest.raises(SignatureInvalid):
        the_adapter(provider_of(name)).verify(with_header(call, header, forged), NOW)

    assert any(len(ours) == len(given) for ours, given in compared)


def test_d4_joserfc_compares_tokens_in_constant_time() -> None:
    assert "compare_digest" in inspect.getsource(HMACAlgorithm)

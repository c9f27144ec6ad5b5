"""Calls that are not genuine: no provider's adapter takes them.

Threats D1 (forgery), D2 (URL poisoning), D3 (replay) and D4 (timing) of docs/threats.md.
"""

from __future__ import annotations

import base64
import hmac
import inspect
from dataclasses import replace
from datetime import timedelta

import jwt as pyjwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc._rfc7518.jws_algs import HMACAlgorithm
from twilio.request_validator import RequestValidator

from filterd.demo.webhook_client import telnyx_key_pair
from filterd.edges.webhooks.adapter import Adapter
from filterd.edges.webhooks.providers import PROVIDERS
from filterd.edges.webhooks.request import WebhookRequest
from filterd.errors import CredentialsMissing, FilterdError, PayloadInvalid, SignatureInvalid, Unsigned
from filterd.ports import SmsPart
from tests.filterd import sns_topic
from tests.filterd.webhook_calls import (
    BASE,
    CALLS,
    DATA,
    FORM,
    JSON,
    NOW,
    SHOWN,
    TOKEN,
    a_call,
    provider_of,
    signed,
    signed_plivo_v2,
    signed_vonage_get,
    signed_vonage_token,
    the_adapter,
    with_header,
)

each_call = pytest.mark.parametrize("name", CALLS)
SIGNATURE_HEADERS = {
    "twilio-form": "x-twilio-signature",
    "twilio-json": "x-twilio-signature",
    "vonage-token": "authorization",
    "telnyx": "telnyx-signature-ed25519",
    "plivo-v3": "x-plivo-signature-v3",
    "plivo-v2": "x-plivo-signature-v2",
    "generic": "webhook-signature",
    "messagebird-json": "messagebird-signature-jwt",
    "bird": "messagebird-signature",
    "sinch": "x-sinch-webhook-signature",
    "infobip": "authorization",
    "bandwidth": "authorization",
}
REFUSED = (SignatureInvalid, Unsigned, CredentialsMissing)
BODY_UNSIGNED = {"plivo-v2", "vonage-get", "messagebird-get", *(n for n in CALLS if provider_of(n) in SHOWN)}
SIGNED_BODIES = [name for name in CALLS if name not in {*BODY_UNSIGNED, "sns-v1"}]
"""Both versions of SNS sign the same text."""


@pytest.mark.parametrize("name", SIGNATURE_HEADERS)
@pytest.mark.parametrize("value", [None, "", "AAAA", "v1,", "Bearer ", "Bearer a.b.c", "\xff\xfe", "é"])
def test_d1_verify_when_the_signature_is_missing_or_nonsense_then_it_is_refused(name: str, value: str | None) -> None:
    call = with_header(CALLS[name](), SIGNATURE_HEADERS[name], value)

    with pytest.raises(REFUSED):
        the_adapter(provider_of(name)).verify(call, NOW)


@pytest.mark.parametrize("name", SIGNATURE_HEADERS)
def test_d1_verify_when_the_signature_header_is_there_twice_then_it_is_refused(name: str) -> None:
    call = CALLS[name]()
    header = SIGNATURE_HEADERS[name]
    call = replace(call, headers=(*call.headers, (header, call.header(header))))

    with pytest.raises(REFUSED):
        the_adapter(provider_of(name)).verify(call, NOW)


@each_call
def test_d1_verify_when_the_key_is_another_then_it_is_refused(name: str) -> None:
    other: dict[str, dict[str, object]] = {
        "twilio": {"auth_token": "f" * 32},
        "vonage": {"signature_secret": "f" * 32},
        "telnyx": {"public_key": telnyx_key_pair()[1]},
        "plivo": {"auth_token": "f" * 32},
        "generic": {"secret": "whsec_" + base64.b64encode(b"f" * 32).decode()},
        "messagebird": {"signing_key": "f" * 32},
        "bird": {"signing_key": "f" * 32},
        "sinch": {"webhook_secret": "f" * 32},
        "infobip": {"password": "f" * 32},
        "bandwidth": {"username": "f" * 32},
        "sns": {"topic_arns": (sns_topic.TOPIC + "-other",)},
        "telerivet": {"secret": "f" * 32},
        "kannel": {"token": "f" * 32},
        "jasmin": {"token": "f" * 32},
    }

    with pytest.raises(SignatureInvalid):
        the_adapter(provider_of(name), **other[provider_of(name)]).verify(CALLS[name](), NOW)


@each_call
def test_d1_verify_when_another_provider_signed_then_it_is_refused(name: str) -> None:
    """Those that sign share one secret here, where they can: the scheme alone keeps them apart."""
    signed_for, call = provider_of(name), CALLS[name]()

    for provider in set(PROVIDERS) - {signed_for}:
        with pytest.raises(REFUSED):
            the_adapter(provider).verify(replace(call, url=call.url.replace(signed_for, provider)), NOW)


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


@pytest.mark.parametrize("name", SIGNED_BODIES)
def test_d1_read_when_any_bit_of_the_body_flips_then_it_is_refused_or_says_the_same(name: str) -> None:
    """A flip may turn ``%2B`` into ``%2b``, or the case of a hex signature: then the message itself is unchanged."""
    adapter, call = the_adapter(provider_of(name)), CALLS[name]()
    (genuine,) = adapter.parse(call, NOW)

    for bit in range(len(call.body) * 8):
        body = flipped(call.body, bit)
        assert read(adapter, replace(call, body=body)) in (None, (replace(genuine, payload=body),))


@pytest.mark.parametrize("name", ["twilio-form", "twilio-json", "plivo-v3", "plivo-v2", "messagebird-json", "bird"])
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
    start = value.index(b" ") + 1 if header == "authorization" else 0

    for bit in range(start * 8, len(value) * 8):
        forged = with_header(call, header, flipped(value, bit).decode("latin-1"))
        with pytest.raises(REFUSED):
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
    for provider in PROVIDERS:
        call = replace(a_call(provider, {}, body), headers=tuple(headers))

        with pytest.raises(REFUSED):
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


@pytest.mark.parametrize(
    "name",
    [
        *("vonage-form", "vonage-json", "vonage-get", "vonage-token"),
        *("telnyx", "generic", "messagebird-json", "bird", "sinch"),
    ],
)
@pytest.mark.parametrize("seconds", [-301, 301])
def test_d3_verify_when_the_signed_time_is_far_off_then_it_is_refused(name: str, seconds: int) -> None:
    adapter, call = the_adapter(provider_of(name)), CALLS[name]()
    adapter.verify(call, NOW + timedelta(seconds=299 if seconds > 0 else -299))

    with pytest.raises(SignatureInvalid, match="too old or too new"):
        adapter.verify(call, NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("name", sorted(set(SIGNATURE_HEADERS) - {"telnyx", "vonage-token", "messagebird-json"}))
@pytest.mark.parametrize("at", [4, -4], ids=["early", "late"])
def test_d4_verify_when_a_signature_differs_early_or_late_then_the_whole_is_compared(
    name: str, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are checked by libraries: Ed25519 and RSA have no secret to leak, joserfc compares as we do."""
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

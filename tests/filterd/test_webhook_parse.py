"""What each provider's fields become, on sample payloads of our own in the providers' documented form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from filterd.edges.webhooks.adapter import Adapter
from filterd.edges.webhooks.providers import adapters_of
from filterd.edges.webhooks.request import WebhookRequest, text_of
from filterd.errors import PayloadInvalid
from filterd.ports import SmsPart
from filterd.settings import SmsSettings
from filterd.testing import FixedClock
from tests.filterd.webhook_line import TOKEN, WHSEC

DATA = Path(__file__).parents[1] / "data" / "sms"
NOW = FixedClock().now()
FORM, JSON = "application/x-www-form-urlencoded", "application/json; charset=utf-8"
TELNYX_KEY = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="  # RFC 8032 section 7.1, test 1
ADAPTERS = adapters_of(
    SmsSettings.model_validate(
        {
            "twilio": {"auth_token": TOKEN},
            "vonage": {"signature_secret": TOKEN},
            "telnyx": {"public_key": TELNYX_KEY},
            "plivo": {"auth_token": TOKEN},
            "generic": {"secret": WHSEC},
        }
    )
)


def parsed(name: str, body: bytes, query: str = "", method: str = "POST") -> tuple[SmsPart, ...]:
    """What the adapter of the sample ``name`` reads from ``body``."""
    provider = name.partition("_")[0]
    adapter: Adapter = ADAPTERS[provider]
    media_type = JSON if name.endswith(".json") else FORM
    headers = (("content-type", media_type), ("webhook-id", "msg_1"), ("cookie", "c"), ("x-filterd-verdict", "accept"))
    call = WebhookRequest(method=method, url="https://x/", query=query, headers=headers, body=body)
    return adapter.parse(call, NOW)


@pytest.mark.parametrize(
    ("name", "id", "sender", "recipient", "text"),
    [
        (
            "twilio_form.txt",
            "SM0123456789abcdef0123456789abcdef",
            "+15005550001",
            "+15005550006",
            "Hi Sam, running 10 min late & bringing cake ☕",
        ),
        (
            "twilio_json.json",
            "SM1123456789abcdef0123456789abcdef",
            "+15005550001",
            "+15005550006",
            "Table for two at eight is booked ☕",
        ),
        (
            "vonage_sms.txt",
            "0A0000000123ABCD1",
            "+15005550001",
            "+15005550006",
            "Your parcel is at the desk = come & get it",
        ),
        (
            "vonage_messages.json",
            "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab",
            "+15005550001",
            "+15005550006",
            "Dinner on Sunday? Mum asks",
        ),
        (
            "telnyx_received.json",
            "84cca175-9755-4859-b67f-4730d7f58aa3",
            "+15005550001",
            "+15005550006",
            "The keys are under the mat",
        ),
        (
            "plivo_sms.txt",
            "13f0b2b4-7d1a-11ee-8c99-0242ac120002",
            "+15005550001",
            "+15005550006",
            "See you at the match + bring a scarf",
        ),
        ("generic_whole.json", "m-1", "+15005550001", "+15005550006", "Lunch at noon?"),
    ],
)
def test_parse_when_the_payload_is_as_documented_then_its_fields_are_read(
    name: str, id: str, sender: str, recipient: str, text: str
) -> None:
    body = (DATA / name).read_bytes()

    (part,) = parsed(name, body)

    assert (part.provider_id, part.sender, part.recipient, part.text) == (id, sender, recipient, text)
    assert (part.part, part.parts, part.reference) == (1, 1, "")
    assert (part.payload, part.received_at) == (body, NOW)
    assert not {"cookie", "x-filterd-verdict"} & {header for header, _ in part.headers}


@pytest.mark.parametrize(
    ("given_number", "number"),
    [("15005550001", "+15005550001"), ("80086", "80086"), ("ACME", "ACME"), ("+15005550001", "+15005550001")],
)
def test_parse_when_a_provider_leaves_the_plus_out_then_lists_still_match(given_number: str, number: str) -> None:
    """Allow and deny lists hold numbers in E.164 form; short codes and names are no such numbers."""
    vonage = {"msisdn": given_number, "to": "15005550006", "messageId": "3", "text": "x"}
    plivo = {"From": given_number, "To": "15005550006", "MessageUUID": "3", "Text": "x"}

    for name, fields in (("vonage_x.txt", vonage), ("plivo_x.txt", plivo)):
        (part,) = parsed(name, urlencode(fields).encode())
        assert (part.sender, part.recipient) == (number, "+15005550006")


@pytest.mark.parametrize("name", ["telnyx_finalized.json", "plivo_report.txt"])
def test_parse_when_the_event_is_a_delivery_report_then_there_is_no_message(name: str) -> None:
    assert parsed(name, (DATA / name).read_bytes()) == ()


def test_parse_when_vonage_reports_a_delivery_then_there_is_no_message() -> None:
    fields = {"msisdn": "1", "to": "2", "messageId": "3", "status": "delivered", "err-code": "0"}

    assert parsed("vonage_x.txt", urlencode(fields).encode()) == ()


def test_parse_when_vonage_sends_a_part_then_it_is_a_part() -> None:
    fields = dict(parse_qsl((DATA / "vonage_sms.txt").read_text()))
    fields |= {"concat": "true", "concat-ref": "108", "concat-part": "2", "concat-total": "3"}

    for (part,) in (
        parsed("vonage_x.txt", urlencode(fields).encode()),
        parsed("vonage_x.json", json.dumps(fields).encode()),
        parsed("vonage_x.txt", b"", urlencode(fields), "GET"),
    ):
        assert (part.part, part.parts, part.reference) == (2, 3, "108")


def test_parse_when_the_generic_sender_sends_a_part_then_it_is_a_part() -> None:
    (part,) = parsed("generic_part.json", (DATA / "generic_part.json").read_bytes())

    assert (part.provider_id, part.part, part.parts, part.reference) == ("m-2-1", 1, 2, "m-2")


def test_parse_when_the_generic_body_has_no_id_then_the_header_is_the_id() -> None:
    (part,) = parsed("generic_x.json", b'{"from": "1", "to": "2", "text": ""}')

    assert (part.provider_id, part.text) == ("msg_1", "")


@pytest.mark.parametrize("name", ["twilio_form.txt", "plivo_sms.txt", "vonage_sms.txt"])
@pytest.mark.parametrize("missing", ["id", "From", "To", "msisdn", "to"])
def test_parse_when_a_field_is_missing_then_it_is_named(name: str, missing: str) -> None:
    fields = dict(parse_qsl((DATA / name).read_text(), keep_blank_values=True))
    ids = {"MessageSid", "SmsSid", "MessageUUID", "messageId"}
    kept = {key: value for key, value in fields.items() if key != missing and not (missing == "id" and key in ids)}
    if len(kept) == len(fields):
        return

    with pytest.raises(PayloadInvalid, match="missing"):
        parsed(name, urlencode(kept).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"data": None},
        {"data": []},
        {"data": {"event_type": "message.received"}},
        {"data": {"event_type": "message.received", "payload": {"id": "1", "from": "x", "to": []}}},
        {"data": {"event_type": "message.received", "payload": {"id": 1, "from": {"phone_number": "1"}, "to": [{}]}}},
    ],
)
def test_parse_when_a_telnyx_event_is_misshapen_then_it_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(PayloadInvalid):
        parsed("telnyx_x.json", json.dumps(change).encode())


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["data", "payload", "from", "to", "text", "id"]), inner)
    ),
    max_leaves=20,
)
FIELDS = ["From", "To", "Body", "MessageSid", "Text", "MessageUUID", "msisdn", "to", "text", "messageId", "from", "id"]


@given(value=st.dictionaries(st.sampled_from([*FIELDS, "data", "concat", "concat-part", "parts", "part"]), JSON_VALUES))
@example(value={"data": {"event_type": "message.received", "payload": {"to": [1]}}})
def test_parse_when_a_signed_body_is_arbitrary_then_it_is_read_or_refused_and_nothing_else(
    value: dict[str, Any],
) -> None:
    """Whatever is read can be encoded and stored."""
    form = urlencode({key: str(item) for key, item in value.items()}, errors="replace").encode()
    for provider in ADAPTERS:
        for name, body in ((f"{provider}_x.json", json.dumps(value).encode()), (f"{provider}_x.txt", form)):
            try:
                parts = parsed(name, body)
            except PayloadInvalid:
                continue
            for part in parts:
                for text in (part.text, part.sender, part.recipient, part.provider_id, part.reference):
                    assert "\x00" not in text
                    assert text.encode("utf-8").decode("utf-8") == text


@given(text=st.text())
def test_text_when_it_has_no_surrogate_and_no_nul_then_it_is_unchanged(text: str) -> None:
    expected = text.replace("\x00", "\ufffd")

    assert text_of(text) == expected

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
from filterd.testing import FixedClock
from tests.filterd import sns_topic
from tests.filterd.webhook_calls import the_adapter, the_settings

DATA = Path(__file__).parents[1] / "data" / "sms"
NOW = FixedClock().now()
FORM, JSON = "application/x-www-form-urlencoded", "application/json; charset=utf-8"
FETCHED = {sns_topic.CERTIFICATE_URL: sns_topic.signer().certificate}
ADAPTERS = adapters_of(the_settings(), FETCHED)


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
        (
            "messagebird_json.json",
            "e8077d803532c0b5937c639b60216938",
            "+15005550001",
            "+15005550006",
            "Bring the tent & two mats ☕",
        ),
        (
            "messagebird_flow.txt",
            "b8077d803532c0b5937c639b60216938",
            "+15005550001",
            "+15005550006",
            "The tram is late & full ☕",
        ),
        (
            "bird_inbound.json",
            "96a0b5fa-a986-453d-be5c-3117f989f025",
            "+15005550001",
            "+15005550006",
            "The choir meets at seven",
        ),
        (
            "bird_received.json",
            "sms_01krdgeqcxet5s7t44vh8rt9mg",
            "+15005550001",
            "+15005550006",
            "Your book is ready at the library",
        ),
        (
            "sinch_text.json",
            "01FC66621XXXXX119Z8PMV1QPA",
            "+15005550001",
            "+15005550006",
            "The plumber comes at ten & needs the key ☕",
        ),
        ("infobip_one.json", "817790313235066447", "+15005550001", "+15005550006", "QUIZ the answer is Paris"),
        (
            "bandwidth_received.json",
            "14762070468292kw2fuqty55yp2b2",
            "+15005550001",
            "+15005550006",
            "The bus leaves at nine",
        ),
        (
            "sns_notification.json",
            "cae173d2-66b9-564c-8309-21f858e9fb84",
            "+15005550001",
            "+15005550006",
            "The class moved to room 5 ☕",
        ),
        (
            "jasmin_gsm.txt",
            "6e5a7a40-5a8c-4f0e-8a3b-0f1b8e1c1f10",
            "+15005550001",
            "+15005550006",
            "Pay me $5 back at the café",
        ),
        ("jasmin_ucs2.txt", "7e5a7a40-5a8c-4f0e-8a3b-0f1b8e1c1f10", "+15005550001", "+15005550006", "Ж€a"),
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


@pytest.mark.parametrize(
    "name",
    [
        "telnyx_finalized.json",
        "plivo_report.txt",
        "sinch_report.json",
        "bandwidth_delivered.json",
        "telerivet_status.txt",
    ],
)
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


@pytest.mark.parametrize(
    ("name", "method", "text"),
    [
        ("kannel_utf8.txt", "GET", "the  agenda @ $5 & more = café"),
        ("kannel_ucs2.txt", "GET", "Ж€a"),
    ],
)
def test_parse_when_kannel_calls_by_get_then_the_text_is_read_in_its_charset(name: str, method: str, text: str) -> None:
    query = "token=t&" + (DATA / name).read_text()

    (part,) = parsed(name, b"", query, method)

    assert (part.text, part.sender, part.recipient) == (text, "+15005550001", "+15005550006")
    assert part.query == query.removeprefix("token=t&")


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ('text/plain; charset="UTF-16BE"', b"\x04\x16\x20\xac", "Ж€"),
        ('text/plain; charset="UTF-8"', "café".encode(), "café"),
        ("text/plain; charset=ISO-8859-1", b"caf\xe9", "café"),
        ("application/octet-stream", b"\x01lottery\xff", "\x01lottery\ufffd"),
        ('text/plain; charset="idna"', b"xn--a", "xn--a"),
        ("", b"", ""),
    ],
    ids=["ucs2", "utf8", "latin1", "binary", "unknown", "none"],
)
def test_parse_when_kannel_posts_then_the_body_is_read_as_its_content_type_says(
    content_type: str, body: bytes, text: str
) -> None:
    call = WebhookRequest(
        method="POST",
        url="https://x/",
        query="id=1&from=123456789&to=80086",
        headers=(("content-type", content_type), ("x-kannel-smsc", "centre"), ("cookie", "c")),
        body=body,
    )

    (part,) = ADAPTERS["kannel"].parse(call, NOW)

    assert (part.text, part.sender, part.recipient) == (text, "+123456789", "80086")
    assert part.headers == (("x-kannel-smsc", "centre"),)


@pytest.mark.parametrize(
    ("coding", "content", "text"),
    [
        ("0", b"\x02 caf\x05", "$ café"),
        ("3", b"caf\xe9", "café"),
        ("8", "☕".encode("utf-16-be"), "☕"),
        ("4", b"lottery", "lottery"),
        ("x", b"lottery", "lottery"),
    ],
)
def test_parse_when_jasmin_names_a_coding_then_the_octets_are_read_in_it(
    coding: str, content: bytes, text: str
) -> None:
    for field, value in (("content", content), ("binary", content.hex())):
        fields = {"id": "1", "from": "a", "to": "b", "coding": coding, field: value}
        (part,) = parsed("jasmin_x.txt", urlencode(fields).encode())
        assert part.text == text


def test_parse_when_the_centre_means_latin_1_by_its_default_then_jasmins_setting_says_so() -> None:
    adapter = the_adapter("jasmin", default_alphabet="latin-1")
    body = urlencode({"id": "1", "from": "a", "to": "b", "coding": "0", "content": b"$5 caf\xe9"}).encode()
    call = WebhookRequest(method="POST", url="https://x/", query="", headers=(), body=body)

    assert adapter.parse(call, NOW)[0].text == "$5 café"


def test_parse_when_jasmin_reports_a_delivery_then_there_is_no_message() -> None:
    assert parsed("jasmin_x.txt", b"id=1&level=1&message_status=DELIVRD") == ()


def test_parse_when_telerivet_sends_its_secret_then_it_is_not_kept_with_the_message() -> None:
    body = (DATA / "telerivet_message.txt").read_bytes()

    (part,) = parsed("telerivet_message.txt", body)

    assert (part.text, part.sender, part.recipient) == (
        "Swim class at six & bring a towel ☕",
        "+15005550001",
        "+15005550006",
    )
    assert part.payload == body.removesuffix(b"&secret=SECRET")


def test_parse_when_infobip_sends_several_then_each_is_a_message_of_its_own() -> None:
    """One may be spam and its neighbour not: what is forwarded must be one of them."""
    parts = parsed("infobip_two.json", (DATA / "infobip_two.json").read_bytes())

    assert [part.text for part in parts] == ["see you at noon", "SPAM offer"]
    assert [len(json.loads(part.payload)["results"]) for part in parts] == [1, 1]
    assert [json.loads(part.payload)["results"][0]["messageId"] for part in parts] == [p.provider_id for p in parts]


def test_parse_when_bandwidth_sends_several_then_only_received_ones_are_messages() -> None:
    events = [json.loads((DATA / f"bandwidth_{name}.json").read_bytes())[0] for name in ("delivered", "received")]

    (part,) = parsed("bandwidth_x.json", json.dumps(events).encode())

    assert part.text == "The bus leaves at nine"
    assert [event["type"] for event in json.loads(part.payload)] == ["message-received"]


@pytest.mark.parametrize("name", ["received", "delivered"])
def test_sample_when_it_is_bandwidths_then_its_sdk_can_read_it(name: str) -> None:
    from bandwidth.models.inbound_callback import InboundCallback  # noqa: PLC0415  # seconds to load
    from bandwidth.models.status_callback import StatusCallback  # noqa: PLC0415  # the same

    (event,) = json.loads((DATA / f"bandwidth_{name}.json").read_bytes())
    model = InboundCallback if name == "received" else StatusCallback

    assert model.from_dict(event).message.id == event["message"]["id"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"type": "mo_binary", "body": "bG90dGVyeQ==", "udh": "00"}, "lottery"),
        ({"type": "mo_media", "body": {"subject": "Hi", "message": "lottery", "media": []}}, "Hi\nlottery"),
        ({"type": "mo_media", "body": {}}, ""),
    ],
    ids=["binary", "media", "media-alone"],
)
def test_parse_when_sinch_sends_more_than_text_then_the_text_in_it_is_read(body: dict[str, Any], text: str) -> None:
    (part,) = parsed("sinch_x.json", json.dumps(body | {"id": "1", "from": "1", "to": "2"}).encode())

    assert part.text == text


def test_parse_when_bird_names_no_receiving_number_then_the_channel_is_the_recipient() -> None:
    event = json.loads((DATA / "bird_inbound.json").read_bytes())
    del event["payload"]["receiver"]["connector"]["identifierValue"]

    (part,) = parsed("bird_x.json", json.dumps(event).encode())

    assert part.recipient == event["payload"]["channelId"]


def test_parse_when_messagebird_leaves_out_the_id_then_equal_calls_are_one_message_and_others_are_not() -> None:
    fields = {"originator": "1", "recipient": "2", "payload": "ok", "createdDatetime": "2026-01-01T00:00:00Z"}
    later = fields | {"createdDatetime": "2026-01-01T00:00:09Z"}

    ids = [parsed("messagebird_x.json", json.dumps(each).encode())[0].provider_id for each in (fields, fields, later)]

    assert ids[0] == ids[1] != ids[2]
    with pytest.raises(PayloadInvalid, match="told apart"):
        parsed("messagebird_x.json", json.dumps(fields | {"createdDatetime": ""}).encode())


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["data", "payload", "from", "to", "text", "id"]), inner)
    ),
    max_leaves=20,
)
MORE_FIELDS = [
    "results",
    "messageId",
    "originator",
    "recipient",
    "body",
    "payload",
    "type",
    "event",
    "content",
    "binary",
]
FIELDS = ["From", "To", "Body", "MessageSid", "Text", "MessageUUID", "msisdn", "to", "text", "messageId", "from", "id"]


@given(
    value=st.dictionaries(
        st.sampled_from([*FIELDS, *MORE_FIELDS, "data", "concat", "concat-part", "part"]), JSON_VALUES
    )
)
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

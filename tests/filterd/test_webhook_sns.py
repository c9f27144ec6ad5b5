"""SNS: whose certificate is believed, what is fetched for it, and how a subscription is confirmed.

Threats D1 (forgery), D3 (replay) and D6 (being made to call an address) of docs/threats.md.
"""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from filterd.edges.webhooks import sns
from filterd.edges.webhooks.adapter import Adapter
from filterd.edges.webhooks.providers import adapters_of
from filterd.edges.webhooks.request import WebhookRequest
from filterd.errors import FetchNeeded, PayloadInvalid, SignatureInvalid, TemporaryError
from tests.filterd import sns_topic
from tests.filterd.sns_topic import CERTIFICATE_URL, CONFIRM_URL, NOW, TOPIC
from tests.filterd.webhook_calls import DATA, a_call, signed_sns, the_adapter, the_settings
from tests.filterd.webhook_line import CUSTOMER, Line, header
from tests.servers import unpacked

SETTINGS = {"sns": {"topic_arns": (TOPIC,), "deliver_url": CUSTOMER}}


def confirmation(**changes: str) -> WebhookRequest:
    fields = json.loads((DATA / "sns_confirmation.json").read_bytes()) | changes
    return a_call("sns", {"content-type": "text/plain; charset=UTF-8"}, sns_topic.sign(fields))


def with_fields(call: WebhookRequest, **changes: object) -> WebhookRequest:
    """The call with fields changed after it was signed."""
    return replace(call, body=json.dumps(json.loads(call.body) | changes).encode())


def knowing(fetched: dict[str, bytes]) -> Adapter:
    return adapters_of(the_settings(), fetched)["sns"]


# --- whose certificate -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem",
        "https://evil.example/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem",
        "https://sns.eu-west-1.amazonaws.com/../SimpleNotificationService-0123456789abcdef0123456789abcdef.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem?a",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem\n",
        "https://sns.eu-west-1.amazonaws.com/bucket/key.pem",
        "https://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "",
    ],
)
def test_d6_verify_when_the_certificate_is_elsewhere_then_it_is_refused_and_not_fetched(url: str) -> None:
    """Only the host of a configured topic's region is asked, and only for a name as SNS gives them."""
    with pytest.raises(SignatureInvalid, match="certificate is not one of SNS"):
        knowing({}).verify(signed_sns(SigningCertURL=url), NOW)


def test_verify_when_the_certificate_is_not_at_hand_then_it_is_asked_for() -> None:
    with pytest.raises(FetchNeeded) as needed:
        knowing({}).verify(signed_sns(), NOW)

    assert needed.value.url == CERTIFICATE_URL
    assert needed.value.is_usable(sns_topic.signer().certificate)


@pytest.mark.parametrize(
    "octets",
    [b"", b"<html>sign in to the network</html>", sns_topic.certificate(ec.generate_private_key(ec.SECP256R1()))],
    ids=["empty", "html", "not-rsa"],
)
def test_certificate_when_it_is_none_or_not_of_rsa_then_it_is_not_kept(octets: bytes) -> None:
    assert not sns.is_certificate(octets)


def test_d1_verify_when_another_topic_is_named_then_it_is_refused_and_nothing_is_fetched() -> None:
    """Anybody can have a topic of their own, and SNS signs for it."""
    with pytest.raises(SignatureInvalid, match="another topic"):
        knowing({}).verify(signed_sns(TopicArn=TOPIC + "2"), NOW)


def test_d1_verify_when_another_key_signed_then_it_is_refused() -> None:
    fields = json.loads((DATA / "sns_notification.json").read_bytes())
    call = a_call("sns", {}, sns_topic.sign(fields, sns_topic.signer("evil.example")))

    with pytest.raises(SignatureInvalid, match="does not match"):
        the_adapter("sns").verify(call, NOW)


def test_d1_verify_when_the_certificate_has_expired_then_it_is_refused() -> None:
    expired = sns_topic.signer("expired", days=1)
    fields = json.loads((DATA / "sns_notification.json").read_bytes())
    later = (NOW + timedelta(days=2)).isoformat()
    call = a_call("sns", {}, sns_topic.sign(fields | {"Timestamp": later}, expired))

    with pytest.raises(SignatureInvalid, match="not valid now"):
        knowing({CERTIFICATE_URL: expired.certificate}).verify(call, NOW + timedelta(days=2))


@pytest.mark.parametrize(
    "changes",
    [
        {"Message": "{}"},
        {"MessageId": "x"},
        {"Subject": "x"},
        {"Timestamp": "2026-01-01T00:00:01.000Z"},
        {"Type": "UnsubscribeConfirmation"},
        {"Type": "Other"},
        {"SignatureVersion": "1"},
        {"SignatureVersion": "3"},
        {"SignatureVersion": 2},
        {"Message": None},
        {"Signature": ""},
        {"Signature": "AAAA"},
        {"Signature": "*"},
    ],
    ids=str,
)
def test_d1_verify_when_a_signed_field_was_changed_then_it_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(SignatureInvalid):
        the_adapter("sns").verify(with_fields(signed_sns(), **changes), NOW)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.real
def test_verify_when_openssl_signed_the_documented_text_then_it_is_accepted(tmp_path: Path, version: str) -> None:
    """AWS's documentation signs with these commands; the text is written down here, not computed."""
    fields = json.loads((DATA / "sns_notification.json").read_bytes()) | {"SignatureVersion": version, "Subject": "S"}
    text = (
        f"Message\n{fields['Message']}\nMessageId\n22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324\nSubject\nS\n"
        f"Timestamp\n2026-01-01T00:00:00.000Z\nTopicArn\n{TOPIC}\nType\nNotification\n"
    )
    key = tmp_path / "key.pem"
    pem = sns_topic.signer().key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key.write_bytes(pem)
    digest = {"1": "-sha1", "2": "-sha256"}[version]
    raw = subprocess.run(
        [unpacked.program("usr/bin/openssl"), "dgst", digest, "-sign", key],
        input=text.encode(),
        capture_output=True,
        check=True,
        env=unpacked.environment(),
    ).stdout
    body = json.dumps(fields | {"Signature": base64.b64encode(raw).decode()}).encode()

    the_adapter("sns").verify(a_call("sns", {}, body), NOW)


# --- replay ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-299, 3899])
def test_d3_verify_when_the_time_is_within_an_hour_of_tries_then_it_is_accepted(seconds: int) -> None:
    """Every try of SNS carries the time of the first, and a delivery policy allows an hour of them."""
    the_adapter("sns").verify(signed_sns(), NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-301, 3901])
def test_d3_verify_when_the_time_is_further_off_then_it_is_refused(seconds: int) -> None:
    with pytest.raises(SignatureInvalid, match="too old or too new"):
        the_adapter("sns").verify(signed_sns(), NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize("timestamp", ["", "yesterday", "2026-01-01T00:00:00", "1767225600"])
def test_d3_verify_when_the_time_is_none_or_has_no_zone_then_it_is_refused(timestamp: str) -> None:
    with pytest.raises(SignatureInvalid):
        the_adapter("sns").verify(signed_sns(Timestamp=timestamp), NOW)


# --- other messages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["hello", "[]", "{}", '{"messageStatus": "DELIVERED"}', ""])
def test_parse_when_something_else_is_published_to_the_topic_then_there_is_no_message(message: str) -> None:
    assert the_adapter("sns").parse(signed_sns(Message=message), NOW) == ()


def test_parse_when_an_sms_lacks_a_number_then_it_is_refused() -> None:
    with pytest.raises(PayloadInvalid, match="originationNumber"):
        the_adapter("sns").parse(signed_sns(Message='{"inboundMessageId": "1"}'), NOW)


@pytest.mark.parametrize("token", ["", "a&Action=Publish", "../x", "A" * 10])
def test_d6_parse_when_a_confirmation_has_a_strange_token_then_it_is_refused(token: str) -> None:
    with pytest.raises(PayloadInvalid):
        the_adapter("sns").parse(confirmation(Token=token), NOW)


def test_d6_parse_when_a_confirmation_names_another_address_then_it_is_not_the_one_that_is_asked() -> None:
    call = confirmation(SubscribeURL="https://evil.example/")
    the_adapter("sns").verify(call, NOW)

    with pytest.raises(FetchNeeded) as needed:
        the_adapter("sns").parse(call, NOW)

    assert needed.value.url == CONFIRM_URL


# --- through the line ------------------------------------------------------------------------------------------------


async def test_receive_when_the_first_call_comes_then_its_certificate_is_fetched_once() -> None:
    line = Line(dict(SETTINGS))
    line.fetcher.answers[CERTIFICATE_URL] = sns_topic.signer().certificate

    replies = [await line.call(signed_sns()) for _ in range(2)]
    await line.work_all()

    assert [reply.status for reply in replies] == [200, 200]
    assert line.fetcher.asked == [CERTIFICATE_URL]
    (sent,) = line.forwarder.sent
    assert (sent.url, sent.body) == (CUSTOMER, signed_sns().body)
    assert header(sent, "x-amz-sns-message-type") == "Notification"


async def test_receive_when_a_subscription_is_to_be_confirmed_then_it_is_with_one_call_to_sns() -> None:
    line = Line(dict(SETTINGS))
    line.fetcher.answers = {CERTIFICATE_URL: sns_topic.signer().certificate, CONFIRM_URL: b"<ConfirmResponse/>"}

    reply = await line.call(confirmation())

    assert (reply.status, reply.body) == (200, b"")
    assert line.fetcher.asked == [CERTIFICATE_URL, CONFIRM_URL]
    assert line.scanner.seen == []


@pytest.mark.parametrize(
    ("answer", "status"),
    [(TemporaryError(), 503), (b"<html>", 503), (PayloadInvalid(), 422)],
    ids=["sns-down", "not-a-certificate", "no-such-certificate"],
)
async def test_receive_when_the_certificate_cannot_be_had_then_it_is_not_believed(
    answer: bytes | Exception, status: int
) -> None:
    """Temporary where SNS is at fault: it tries again. What SNS says does not exist is a forgery."""
    line = Line(dict(SETTINGS))
    line.fetcher.answers[CERTIFICATE_URL] = answer

    reply = await line.call(signed_sns())

    assert reply.status == status
    assert line.scanner.seen == []


async def test_d1_receive_when_the_signature_is_wrong_then_no_subscription_is_confirmed() -> None:
    line = Line(dict(SETTINGS))
    line.fetcher.answers = {CERTIFICATE_URL: sns_topic.signer().certificate, CONFIRM_URL: b"x"}

    reply = await line.call(with_fields(confirmation(), MessageId="x"))

    assert reply.status == 403
    assert line.fetcher.asked == [CERTIFICATE_URL]

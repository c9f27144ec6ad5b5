"""AWS End User Messaging: incoming SMS as notifications of an Amazon SNS topic, signed with RSA.

Source: AWS, "Verifying the signatures of Amazon SNS messages", "Parsing Amazon SNS message formats" and "Two-way SMS
message payload". Certificates and confirmations come from the host that a configured topic stands for, and from
nowhere else. Raw message delivery carries no signature, so it is refused.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from filterd.edges.webhooks.adapter import WebhookReply
from filterd.edges.webhooks.request import WebhookRequest, json_object, name_of, text_of
from filterd.errors import ConfigError, FetchNeeded, PayloadInvalid, SignatureInvalid
from filterd.ports import ForwardRequest, SmsPart

_ARN = re.compile(r"arn:aws(-us-gov|-cn)?:sns:([a-z0-9-]{1,30}):[0-9]{12}:[A-Za-z0-9_.-]{1,256}")
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-f]{32}\.pem")
_TOKEN = re.compile(r"[0-9a-f]{1,2048}")
_NOTIFICATION, _CONFIRMATION = "Notification", "SubscriptionConfirmation"
_SIGNED = {
    _NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    _CONFIRMATION: ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
"""Type -> the fields that are signed, in this order; a notification need not have a subject."""
_HASHES = {"1": hashes.SHA1, "2": hashes.SHA256}
_LONGEST_RETRY_SECONDS = 3600.0
"""A delivery policy's limit for all tries together; they all carry the time of the first."""
_HEADERS = tuple(f"x-amz-sns-{name}" for name in ("message-type", "message-id", "topic-arn", "subscription-arn"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sns:
    """The adapter of the configured topics."""

    topics: Mapping[str, str]
    """Topic -> the host of its region."""
    fetched: Mapping[str, bytes]
    """Certificates and confirmations that are at hand, by URL."""
    clock_skew_seconds: float
    deliver_url: str = ""
    is_redirecting: bool = False
    name: str = "sns"
    methods: tuple[str, ...] = ("POST",)

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        """Raises SignatureInvalid, or FetchNeeded for a certificate that is not at hand."""
        try:
            fields = _fields(request)
        except PayloadInvalid as exc:
            raise SignatureInvalid(exc.detail) from exc
        # All that can be seen without the certificate comes first: few forged calls make us ask anybody.
        host = self.topics.get(fields.get("TopicArn", ""))
        if host is None:
            raise SignatureInvalid("another topic")
        self._check_age(fields.get("Timestamp", ""), now)
        url = fields.get("SigningCertURL", "")
        if not url.startswith(f"https://{host}/") or not _CERTIFICATE.fullmatch(url.removeprefix(f"https://{host}")):
            raise SignatureInvalid("the certificate is not one of SNS in the topic's region")
        if url not in self.fetched:
            raise FetchNeeded(url, is_certificate)
        _check_signature(fields, x509.load_pem_x509_certificate(self.fetched[url]), now)

    def _check_age(self, timestamp: str, now: datetime) -> None:
        try:
            age = (now - datetime.fromisoformat(timestamp)).total_seconds()
        except (ValueError, TypeError) as exc:  # TypeError: a time without a zone
            raise SignatureInvalid("the signed time is missing or none") from exc
        if not -self.clock_skew_seconds <= age <= _LONGEST_RETRY_SECONDS + self.clock_skew_seconds:
            raise SignatureInvalid("the signed time is too old or too new")

    def parse(self, request: WebhookRequest, now: datetime) -> tuple[SmsPart, ...]:
        """The message of a notification about an SMS; none for others.

        Raises PayloadInvalid, or FetchNeeded for a subscription that is still to be confirmed.
        """
        fields = _fields(request)
        if fields.get("Type") == _CONFIRMATION:
            self._confirm(fields)
        try:
            sms = json_object(fields.get("Message", "").encode("utf-8", "surrogatepass"))
        except PayloadInvalid:
            return ()  # whatever else is published to the topic
        if fields.get("Type") != _NOTIFICATION or "inboundMessageId" not in sms:
            return ()
        part = SmsPart(
            provider=self.name,
            provider_id=name_of(sms.get("inboundMessageId"), "inboundMessageId"),
            sender=name_of(sms.get("originationNumber"), "originationNumber"),
            recipient=name_of(sms.get("destinationNumber"), "destinationNumber"),
            text=text_of(sms.get("messageBody") or ""),
            received_at=now,
            payload=request.body,
            content_type=request.header("content-type"),
            headers=request.kept(*_HEADERS),
        )
        return (part,)

    def _confirm(self, fields: Mapping[str, str]) -> None:
        """Built of the topic and the token: a ``SubscribeURL`` is never followed."""
        topic, token = fields.get("TopicArn", ""), fields.get("Token", "")
        host = self.topics.get(topic)
        if host is None or not _TOKEN.fullmatch(token):
            raise PayloadInvalid("the topic or the token is not one of SNS")
        url = f"https://{host}/?Action=ConfirmSubscription&TopicArn={quote(topic, safe='')}&Token={token}"
        if url not in self.fetched:
            raise FetchNeeded(url)

    def reply(self, *, is_ham: bool) -> WebhookReply:  # noqa: ARG002  # any 2xx ends the call
        """Empty."""
        return WebhookReply(status=200)

    def forward(self, part: SmsPart, now: datetime) -> ForwardRequest:  # noqa: ARG002  # only SNS can sign
        """The call as received."""
        headers = (("content-type", part.content_type), *part.headers)
        return ForwardRequest(method="POST", url=self.deliver_url, headers=headers, body=part.payload)


def topics_of(arns: tuple[str, ...]) -> dict[str, str]:
    """Topic -> the host of its region. Raises ConfigError."""
    topics = {}
    for arn in arns:
        found = _ARN.fullmatch(arn)
        if found is None:
            raise ConfigError(f"sms.sns.topic_arns: not a topic: {arn!r}")
        partition, region = found.groups()
        topics[arn] = f"sns.{region}.amazonaws.com" + (".cn" if partition == "-cn" else "")
    return topics


def is_certificate(octets: bytes) -> bool:
    """Whether it is an X.509 certificate with an RSA key."""
    try:
        return isinstance(x509.load_pem_x509_certificate(octets).public_key(), RSAPublicKey)
    except (ValueError, UnsupportedAlgorithm):
        return False


def string_to_sign(fields: Mapping[str, str]) -> bytes:
    """Name and value of each signed field on lines of their own. Raises SignatureInvalid."""
    names = _SIGNED.get(fields.get("Type", ""), ())
    missing = [name for name in names if name not in fields and name != "Subject"]
    if not names or missing:
        raise SignatureInvalid("the type is unknown or a signed field is missing")
    text = "".join(f"{name}\n{fields[name]}\n" for name in names if name in fields)
    return text.encode("utf-8", "surrogatepass")


def _fields(request: WebhookRequest) -> dict[str, str]:
    """The fields that are text. Raises PayloadInvalid."""
    return {name: value for name, value in json_object(request.body).items() if isinstance(value, str)}


def _check_signature(fields: Mapping[str, str], certificate: x509.Certificate, now: datetime) -> None:
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise SignatureInvalid("the certificate is not valid now")
    key, given = certificate.public_key(), fields.get("Signature", "")
    digest = _HASHES.get(fields.get("SignatureVersion", ""))
    if digest is None or not isinstance(key, RSAPublicKey):
        raise SignatureInvalid("the version of the signature is unknown")
    try:
        raw = base64.b64decode(given, validate=True)
        if base64.b64encode(raw).decode() != given:
            raise SignatureInvalid("the signature is not canonical base64")
        key.verify(raw, string_to_sign(fields), PKCS1v15(), digest())
    except (binascii.Error, ValueError, InvalidSignature) as exc:
        raise SignatureInvalid("the signature does not match") from exc

"""An SNS topic of the tests: its own certificate, and notifications signed with it as AWS documents."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from filterd.testing import FixedClock

NOW = FixedClock().now()
TOPIC = "arn:aws:sns:eu-west-1:123456789012:incoming-sms"
CERTIFICATE_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"
TOKEN = "2336412f37fb687f5d51e6e2425f90cbd"
CONFIRM_URL = (
    "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription"
    f"&TopicArn=arn%3Aaws%3Asns%3Aeu-west-1%3A123456789012%3Aincoming-sms&Token={TOKEN}"
)


class Signer(NamedTuple):
    """A key and the certificate about it, PEM."""

    key: rsa.RSAPrivateKey
    certificate: bytes


@functools.cache
def signer(name: str = "sns.amazonaws.com", days: int = 365) -> Signer:
    """A signer whose certificate is valid from yesterday for ``days``; other names are other keys."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Signer(key, certificate(key, name, days))


def certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, name: str = "x", days: int = 365) -> bytes:
    """A certificate about ``key``, signed by itself, PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = NOW - timedelta(days=1)
    built = x509.CertificateBuilder(subject, subject, key.public_key(), 1, start, start + timedelta(days=days))
    return built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def sign(fields: Mapping[str, str], by: Signer | None = None) -> bytes:
    """The body with these fields and a signature of the version they name."""
    digest: Callable[[], hashes.HashAlgorithm] = {"1": hashes.SHA1, "2": hashes.SHA256}[fields["SignatureVersion"]]
    # As in AWS's documentation: the fields in alphabetical order, Subject only where there is one.
    names = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    text = "".join(f"{name}\n{fields[name]}\n" for name in names if name in fields)
    raw = (by or signer()).key.sign(text.encode(), padding.PKCS1v15(), digest())
    return json.dumps({**fields, "Signature": base64.b64encode(raw).decode()}).encode()

"""Mail signed with DKIM by dkimpy, and the records of its keys, for tests."""

from __future__ import annotations

import base64
from functools import cache

import dkim
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

DOMAIN = "news.example.org"
AUTHOR = f"ann@{DOMAIN}"
MAIL = (
    b"From: Ann <ann@news.example.org>\r\nTo: bob@example.net\r\nSubject:  a  folded\r\n\tsubject\r\n"
    b"Date: Thu, 1 Jan 2026 00:00:00 +0000\r\nMIME-Version: 1.0\r\n\r\nSome  words \t of a line. \r\n\r\n.\r\n\r\n\r\n"
)
WAYS = tuple((header, body) for header in (b"simple", b"relaxed") for body in (b"simple", b"relaxed"))


@cache
def rsa_key(bits: int = 1024, number: int = 0) -> rsa.RSAPrivateKey:
    """A key of its own for each number."""
    return rsa.generate_private_key(65_537, bits)


@cache
def ed25519_key() -> ed25519.Ed25519PrivateKey:
    """One key."""
    return ed25519.Ed25519PrivateKey.generate()


def record(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey, more: bytes = b"") -> bytes:
    """What its domain publishes."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return b"v=DKIM1; k=ed25519; " + more + b"p=" + base64.b64encode(public)
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; " + more + b"p=" + base64.b64encode(public)


def signed(
    raw: bytes = MAIL,
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | None = None,
    *,
    domain: str = DOMAIN,
    ways: tuple[bytes, bytes] = (b"relaxed", b"relaxed"),
    length: bool = False,
    identity: str = "",
    include: list[bytes] | None = None,
) -> bytes:
    """``raw`` behind a signature of the selector ``sel``."""
    key = key or rsa_key()
    algorithm = b"rsa-sha256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm = b"ed25519-sha256"
        private = base64.b64encode(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))
    else:
        private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    field: bytes = dkim.sign(
        raw,
        b"sel",
        domain.encode(),
        private,
        canonicalize=ways,
        signature_algorithm=algorithm,
        length=length,
        identity=identity.encode() or None,
        include_headers=include,
    )
    return field + raw

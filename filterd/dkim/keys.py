"""What a signature comes to with the keys that its domain publishes.

Follows RFC 6376 sections 3.6.1 and 6.1.2, RFC 8301 (RSA keys of 1,024 to 4,096 bits) and RFC 8463 (Ed25519). Whoever
writes the message also writes the key: what it may cost to use is bounded first.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import load_der_public_key

from filterd.core.dkim import tag_list
from filterd.core.signed import Signed

MIN_BITS, MAX_BITS = 1_024, 4_096
MAX_EXPONENT = 2**32 + 1
"""In use are 3 and 65,537; a long one takes a hundred times as long."""
_MAX_KEY_CHARS = 4_096
_MAX_RECORDS = 5
"""More than one key at a name is undefined (section 3.6.2.2)."""


def result_of(signed: Signed, records: Sequence[bytes]) -> str:
    """One of ``RESULTS`` for a signature and the TXT records at its key's name; any key that fits is enough."""
    found = [_with(signed, record) for record in records[:_MAX_RECORDS]]
    return next((result for result in found if result == "pass"), found[0] if found else "permerror")


def _with(signed: Signed, record: bytes) -> str:
    tags = tag_list(record)
    if tags is None or not tags.get(b"p") or not _is_for(signed, tags):
        return "permerror"
    flags = _words(tags.get(b"t", b""))
    if b"y" in flags:
        # A domain that tries DKIM out: as if the message were not signed (section 3.6.1).
        return "neutral"
    if b"s" in flags and signed.identity != signed.domain:
        return "permerror"
    try:
        return _rsa(signed, tags[b"p"]) if signed.algorithm == "rsa" else _ed25519(signed, tags[b"p"])
    except InvalidSignature:
        return "fail"
    except (ValueError, UnsupportedAlgorithm):
        return "permerror"


def _is_for(signed: Signed, tags: Mapping[bytes, bytes]) -> bool:
    """Whether the key is one of mail and of this algorithm."""
    return (
        tags.get(b"v", b"DKIM1") == b"DKIM1"
        and tags.get(b"k", b"rsa") == signed.algorithm.encode()
        and b"sha256" in _words(tags.get(b"h", b"sha256"))
        and bool({b"*", b"email"} & set(_words(tags.get(b"s", b"*"))))
    )


def _words(value: bytes) -> list[bytes]:
    return [word.strip() for word in value.split(b":")]


def _octets(text: bytes) -> bytes:
    """Raises ValueError."""
    if len(text) > _MAX_KEY_CHARS:
        raise ValueError("a long key")
    try:
        return b64decode(text.translate(None, b" \t\r\n"), validate=True)
    except binascii.Error as exc:
        raise ValueError("not base64") from exc


def _rsa(signed: Signed, text: bytes) -> str:
    key = load_der_public_key(_octets(text))
    if not isinstance(key, RSAPublicKey):
        return "permerror"
    if not MIN_BITS <= key.key_size <= MAX_BITS or key.public_numbers().e > MAX_EXPONENT:
        return "policy"
    key.verify(signed.value, signed.digest, PKCS1v15(), Prehashed(hashes.SHA256()))
    return "pass"


def _ed25519(signed: Signed, text: bytes) -> str:
    Ed25519PublicKey.from_public_bytes(_octets(text)).verify(signed.value, signed.digest)
    return "pass"

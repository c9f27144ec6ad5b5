"""Signed tokens that providers put beside a call (RFC 7519), with a secret shared with them (RFC 7518 section 3.2)."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from filterd.errors import SignatureInvalid


def token(secret: str, claims: Mapping[str, Any], algorithm: str = "HS256") -> str:
    """A token with these claims."""
    key = OctKey.import_key(secret.encode())
    return jwt.encode({"alg": algorithm}, dict(claims), key, algorithms=[algorithm])


def claims_of(encoded: str, secret: str, algorithms: Sequence[str] = ("HS256",)) -> dict[str, Any]:
    """The claims of a token whose signature holds; they are not looked at. Raises SignatureInvalid."""
    last = encoded.rpartition(".")[2]
    try:
        raw = base64.urlsafe_b64decode(last + "=" * (-len(last) % 4))
        decoded = jwt.decode(encoded, OctKey.import_key(secret.encode()), algorithms=list(algorithms))
    except (JoseError, binascii.Error, ValueError, RecursionError) as exc:
        raise SignatureInvalid("the token does not hold") from exc
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != last:
        raise SignatureInvalid("the token's signature is not canonical base64url")
    return decoded.claims


def unverified_claims(encoded: str) -> dict[str, Any]:
    """The claims of a token that was verified when it came."""
    payload = encoded.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims

"""Secrets that a sender shows because it signs nothing: HTTP basic (RFC 7617), or a field of the query or the form.

Whoever has seen one call can forge others, so such calls belong under HTTPS or on one host. The secret is never
stored with the message.
"""

from __future__ import annotations

import base64
from urllib.parse import unquote_plus

from filterd.edges.webhooks.request import WebhookRequest, is_same, octet_fields
from filterd.errors import CredentialsMissing, PayloadInvalid, SignatureInvalid

TOKEN = "token"  # noqa: S105  # the field's name
_BASIC = "basic "


def basic(username: str, password: str) -> str:
    """The ``Authorization`` header of HTTP basic, UTF-8 (RFC 7617 section 2)."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def check_basic(request: WebhookRequest, username: str, password: str) -> None:
    """Raises SignatureInvalid, or CredentialsMissing for a call that shows none and may be waiting to be asked."""
    given = request.header("authorization")
    if not given:
        raise CredentialsMissing
    is_basic = given[: len(_BASIC)].lower() == _BASIC
    expected = basic(username, password)[len(_BASIC) :]
    if not is_same(expected, given[len(_BASIC) :].strip()) or not is_basic:
        raise SignatureInvalid("the user name or password is wrong")


def check_field(encoded: str | bytes, name: str, secret: str) -> None:
    """Raises SignatureInvalid unless the form ``encoded`` has ``secret`` in the one field ``name``."""
    try:
        given = [value for key, value in octet_fields(encoded) if key == name]
    except PayloadInvalid as exc:
        raise SignatureInvalid(exc.detail) from exc
    value = given[0].encode("latin-1").decode("utf-8", "surrogateescape") if len(given) == 1 else ""
    if not is_same(secret, value):
        raise SignatureInvalid(f"the field {name} is missing or wrong")


def without_field(encoded: str, name: str) -> str:
    """The form as it came, without every field ``name``."""
    return "&".join(pair for pair in encoded.split("&") if unquote_plus(pair.partition("=")[0]) != name)

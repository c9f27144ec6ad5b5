"""A webhook call as an adapter sees it, and readers for the bodies that are signed field by field.

Plain values: nothing here knows a web framework, the Host header or the clock.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from filterd.errors import PayloadInvalid

_MAX_FIELDS = 200
"""Providers send about forty form fields at most."""
_MAX_NAME_CHARS = 255
"""Longest address, message id or part reference taken; numbers have 15 digits (E.164), UUIDs 36 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRequest:
    """One call, as received."""

    method: str
    url: str
    """The configured public URL of this endpoint with the raw query: what the provider signed."""
    query: str
    """Raw query string, without the question mark."""
    headers: tuple[tuple[str, str], ...]
    """Lower-case names, values as sent."""
    body: bytes

    def header(self, name: str) -> str:
        """The value; empty where the header is absent, or ambiguous because it is there twice."""
        values = [value for key, value in self.headers if key == name]
        return values[0] if len(values) == 1 else ""

    @property
    def media_type(self) -> str:
        """The content type without parameters, lower case."""
        return self.header("content-type").partition(";")[0].strip().lower()

    def kept(self, *names: str) -> tuple[tuple[str, str], ...]:
        """Those of the named headers that are there, to be stored and forwarded with the message."""
        return tuple((name, value) for name in names if (value := self.header(name)))


def is_same(expected: str, given: str) -> bool:
    """Whether two signatures are equal, in time that does not depend on where they differ."""
    return hmac.compare_digest(expected.encode("utf-8"), given.encode("utf-8", "surrogateescape"))


def form_fields(encoded: str | bytes) -> tuple[tuple[str, str], ...]:
    """The fields of an ``application/x-www-form-urlencoded`` text, in order, blank ones kept.

    Raises PayloadInvalid for more than 200 fields or text that is not UTF-8.
    """
    try:
        text = encoded.decode("ascii") if isinstance(encoded, bytes) else encoded
        return tuple(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS))
    except ValueError as exc:
        raise PayloadInvalid("the form cannot be read") from exc


def octet_fields(encoded: str | bytes) -> tuple[tuple[str, str], ...]:
    """The same of a form that need not be UTF-8: every octet is one character (Latin-1).

    Raises PayloadInvalid for more than 200 fields.
    """
    try:
        text = encoded.decode("latin-1") if isinstance(encoded, bytes) else encoded
        return tuple(parse_qsl(text, keep_blank_values=True, encoding="latin-1", max_num_fields=_MAX_FIELDS))
    except ValueError as exc:
        raise PayloadInvalid("the form cannot be read") from exc


def unique_fields(fields: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """The fields by name. Raises PayloadInvalid if a name is there twice: readers would disagree about it."""
    by_name = dict(fields)
    if len(by_name) != len(fields):
        raise PayloadInvalid("a field is there twice")
    return by_name


def texts_of(octets: Mapping[str, str]) -> dict[str, str]:
    """What ``octet_fields`` gave, read as UTF-8; what is none becomes replacement characters."""
    return {name: value.encode("latin-1").decode("utf-8", "replace") for name, value in octets.items()}


def json_object(body: bytes) -> dict[str, Any]:
    """The object in ``body``. Raises PayloadInvalid for anything else, duplicate keys and NaN included."""
    value = _json(body)
    if not isinstance(value, dict):
        raise PayloadInvalid("the body is not a JSON object")
    return value


def json_objects(value: object) -> tuple[dict[str, Any], ...]:
    """The objects in a list, or in a body that is one. Raises PayloadInvalid for anything else."""
    if isinstance(value, bytes):
        value = _json(value)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise PayloadInvalid("not a list of JSON objects")
    return tuple(value)


def _json(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise PayloadInvalid("the body is not JSON") from exc


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    by_name = dict(pairs)
    if len(by_name) != len(pairs):
        raise ValueError("duplicate key")
    return by_name


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def inner(value: object) -> dict[str, Any]:
    """An object inside one. Raises PayloadInvalid."""
    if not isinstance(value, dict):
        raise PayloadInvalid("the body does not have the documented form")
    return value


def text_of(value: object) -> str:
    """``value`` as text any database and encoder takes: lone surrogates and NUL become U+FFFD.

    Raises PayloadInvalid if it is not a string.
    """
    if not isinstance(value, str):
        raise PayloadInvalid("a text field is missing or not text")
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\x00", "\ufffd")


def name_of(value: object, field: str) -> str:
    """A number, message id or reference: 1 to 255 characters. Raises PayloadInvalid naming the field."""
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME_CHARS:
        raise PayloadInvalid(f"{field} is missing or too long")
    return text_of(value)


def number_of(value: object, field: str) -> str:
    """A number of a provider that leaves the plus out, in E.164 form as allow and deny lists have it.

    Short codes (up to six digits) and names stay as they are. Raises PayloadInvalid naming the field.
    """
    number = name_of(value, field)
    is_international = number.isascii() and number.isdigit() and 7 <= len(number) <= 15
    return f"+{number}" if is_international else number


def with_query(url: str, query: str) -> str:
    """``url`` with more query parameters."""
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


def part_of(number: object, total: object) -> tuple[int, int]:
    """(part, parts) of a long message, 1-based. Raises PayloadInvalid unless 1 <= part <= parts <= 255.

    Source: 3GPP TS 23.040 section 9.2.3.24.1, whose two counters have one octet each.
    """
    try:
        part, parts = int(str(number)), int(str(total))
    except ValueError as exc:
        raise PayloadInvalid("the part counters are not numbers") from exc
    if not 1 <= part <= parts <= 255:
        raise PayloadInvalid("the part counters are out of range")
    return part, parts

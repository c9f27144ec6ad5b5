"""What a trusted mail server found out about SPF, DKIM, DMARC and ARC, as signals.

Follows RFC 8601 (Authentication-Results) and RFC 8617 section 4.1.1 (ARC-Authentication-Results); never raises,
whatever the octets. Believes one field: the topmost that a trusted server wrote, above the first trace line of a host
that is none; whoever trusts a server trusts it to remove fields that only claim to be its own (RFC 8601 section 5).
Verifies no signature itself, and tells the model nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from filterd.core.domains import Domains
from filterd.core.envelope import domain_of, is_within

DMARC_GOOD = "dmarc_pass"
"""The author's domain vouches for the message."""
DKIM_ALIGNED = "dkim_aligned"
"""A good signature is of the author's registrable domain (RFC 7489 section 3.1.1, relaxed)."""
MAX_VALUE_CHARS = 16_384
MAX_HEADER_BYTES = 262_144

_METHODS = ("spf", "dkim", "dmarc", "arc")
_TOLD = frozenset({"pass", "fail", "softfail", "policy", "temperror", "permerror"})
"""Results that say something; ``none`` and ``neutral`` do not."""
_FIELD = re.compile(
    rb"^(received|(?:arc-)?authentication-results)[ \t]*:((?:[^\r\n]|\r?\n[ \t])*)", re.IGNORECASE | re.MULTILINE
)
_FOLD = re.compile(r"\r?\n")
_BY = re.compile(r"\bby\s+([^\s;]+)", re.IGNORECASE)
# Nothing is given back that was once taken: every expression takes linear time.
_PIECE = re.compile(r'[^"();]++|"(?:[^"\\]|\\.)*+\\?"?|.', re.DOTALL)
_IN_COMMENT = re.compile(r"(?:[^()\\]|\\.)*+([()]?)", re.DOTALL)
_ID = re.compile(r'\s*+(?:"([^"]*+)"|([^\s";=]++))(?:\s++\d++)?\s*+')
_INSTANCE = re.compile(r"\s*i\s*=\s*(\d{1,3})\s*")
_METHOD = re.compile(r"\s*([a-z][a-z0-9-]*)\s*(?:/\s*\d+\s*)?=\s*([a-z]+)(?![\w.-])", re.IGNORECASE)
_PROPERTY = re.compile(r'(?<![\w-])([a-z-]++\s*+\.\s*+[\w-]++)\s*+=\s*+("(?:[^"\\]|\\.)*+"|[^\s"]++)', re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one method came to; everything in lower case."""

    method: str
    result: str
    properties: Mapping[str, str]
    """``header.d`` and its kin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthResults:
    """One field."""

    authserv_id: str
    """Lower case."""
    results: tuple[Result, ...]
    instance: int = 0
    """Of an ARC field, from 1."""


def parse(value: str) -> AuthResults | None:
    """The field with this value; None where it names no server. What cannot be read of it is left out."""
    segments = _segments(_FOLD.sub("", value)[:MAX_VALUE_CHARS])
    first = next(segments)
    instance = _INSTANCE.fullmatch(first)
    if instance:
        first = next(segments, "")
    name = _ID.fullmatch(first)
    if name is None:
        return None
    return AuthResults(
        authserv_id=(name[1] or name[2] or "").lower(),
        results=tuple(result for segment in segments if (result := _result(segment))),
        instance=int(instance[1]) if instance else 0,
    )


def auth_signals(raw: bytes, trusted: frozenset[str], author: str, domains: Domains) -> tuple[str, ...]:
    """Signals of what trusted servers found: ``spf_fail``, ``dkim_pass``, ``dmarc_pass`` and so on, sorted.

    ``trusted`` are authserv-ids in lower case, ``author`` is the visible one. ``arc_dmarc_pass`` and its kin are what
    the last ARC hop says it saw, where the trusted server found the chain whole; they vouch for nobody.
    """
    own, sealed = _fields(raw, trusted) if trusted else (None, None)
    if own is None:
        return ()
    found = {name for name, _ in _told(own)}
    domain = domain_of(author)
    if not any(_is_of(result, domain) for name, result in _told(own) if name == DMARC_GOOD):
        found.discard(DMARC_GOOD)
    own_domain = domains.registrable(domain)[0]
    if own_domain and own_domain in {domains.registrable(d)[0] for d in _signers(own)}:
        found.add(DKIM_ALIGNED)
    if sealed is not None and "arc_pass" in found:
        found.update(f"arc_{name}" for name, result in _told(sealed) if result.method != "arc")
    return tuple(sorted(found))


def _is_of(result: Result, domain: str) -> bool:
    """Whether a DMARC result is of the domain that readers see."""
    return bool(domain) and result.properties.get("header.from", domain).rpartition("@")[2].rstrip(".") == domain


def _signers(own: AuthResults) -> Iterator[str]:
    """Domains of good signatures."""
    for result in own.results:
        if (result.method, result.result) == ("dkim", "pass"):
            signer = result.properties.get("header.d") or result.properties.get("header.i", "").rpartition("@")[2]
            yield signer.rstrip(".")


def _told(field: AuthResults) -> Iterator[tuple[str, Result]]:
    """A signal's name and its result for each method; any good signature is enough, else the first result counts."""
    for method in _METHODS:
        results = [result for result in field.results if result.method == method and result.result in _TOLD]
        best = next((r for r in results if method == "dkim" and r.result == "pass"), results[0] if results else None)
        if best is not None:
            yield f"{method}_{best.result}", best


def _fields(raw: bytes, trusted: frozenset[str]) -> tuple[AuthResults | None, AuthResults | None]:
    """The field that is believed, and the ARC field of the last instance."""
    own, sealed, is_ours = None, None, True
    # A field behind a line end that is none (a stray CR) is not seen here.
    for found in _FIELD.finditer(_header(raw)):
        name, value = found[1].lower(), found[2].decode("utf-8", "replace")
        if name == b"received":
            is_ours = is_ours and _is_trusted_hop(value, trusted)
            continue
        if name == b"authentication-results" and (own is not None or not is_ours):
            continue
        field = parse(value)
        if field is None:
            continue
        if name == b"authentication-results":
            own = field if field.authserv_id in trusted and not field.instance else None
        elif sealed is None or field.instance > sealed.instance:
            sealed = field
    return own, sealed


def _header(raw: bytes) -> bytes:
    end = raw.find(b"\r\n\r\n", 0, MAX_HEADER_BYTES)
    return raw[: end + 2] if end >= 0 else raw[:MAX_HEADER_BYTES]


def _is_trusted_hop(trace: str, trusted: frozenset[str]) -> bool:
    """Whether a trace line is of a host that has the name of a trusted server, or one below it."""
    by = _BY.search(" ".join(_segments(trace[:MAX_VALUE_CHARS])))
    return by is not None and any("." in name and is_within(by[1].lower(), name) for name in trusted)


def _segments(text: str) -> Iterator[str]:
    """What stands between semicolons, comments left out; at least one."""
    at, depth, segment = 0, 0, ""
    while at < len(text):
        piece = (_IN_COMMENT if depth else _PIECE).match(text, at)
        assert piece is not None
        at = max(piece.end(), at + 1)
        sign = piece[1] if depth else piece[0]
        if sign in ("(", ")"):
            depth = max(0, depth + (1 if sign == "(" else -1))
            segment += " "
        elif depth == 0 and sign == ";":
            yield segment
            segment = ""
        elif depth == 0:
            segment += sign
    yield segment


def _result(segment: str) -> Result | None:
    method = _METHOD.match(segment)
    if method is None:
        return None
    result = method[2].lower()
    properties = {
        re.sub(r"\s", "", name).lower(): re.sub(r"\\(.)", r"\1", value.strip('"')).lower()
        for name, value in _PROPERTY.findall(segment, method.end())
    }
    return Result(
        method=method[1].lower(),
        result="fail" if result == "hardfail" else result,
        properties=MappingProxyType(properties),
    )

"""What a message's DKIM signatures claim, as far as it can be told without their keys, and what the results mean.

Follows RFC 6376 (sections 3.4, 3.5, 3.7 and 6.1), RFC 8301 (no rsa-sha1) and RFC 8463 (Ed25519). Takes linear time in
the octets and never raises. Fetches no key and checks no signature with one: that is ``filterd/dkim``. Says nothing of
ARC, SPF or DMARC. A signature of a part of the body (``l=``) is not good enough: anybody may add to the rest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from filterd.core.auth_results import DKIM_ALIGNED, MAX_HEADER_BYTES
from filterd.core.domains import Domains
from filterd.core.envelope import domain_of, is_within
from filterd.core.signed import Signed

ALGORITHMS = {b"rsa-sha256": "rsa", b"ed25519-sha256": "ed25519"}
MAX_READ = 20
"""Signature fields that are read at all; those of the author's domain come first to be verified."""
_MAX_FIELD_BYTES = 8_192
_MAX_DIGITS = 12
_MAX_SIGNED_FIELDS = 200
_NEEDED = (b"v", b"a", b"b", b"bh", b"d", b"h", b"s")
_WSP = b" \t"
_FWS = b" \t\r\n"


class _Bad(Exception):
    """A signature that no key makes good."""

    def __init__(self, result: str = "permerror") -> None:
        self.result = result


class Field(NamedTuple):
    """A header field."""

    name: bytes
    """Lower case."""
    raw: bytes
    """All of it but the last line end."""

    @property
    def value(self) -> bytes:
        """What stands behind the colon."""
        return self.raw.partition(b":")[2]


def signatures(raw: bytes, author: str, domains: Domains, most: int) -> tuple[Signed, ...]:
    """The signatures of ``raw``, at most ``most``, those of the author's domain first, else as they stand.

    ``author`` is the visible one.
    """
    end = raw.find(b"\r\n\r\n", 0, MAX_HEADER_BYTES)
    if end < 0:
        return ()
    fields = tuple(fields_of(raw[:end]))
    found = [field for field in fields if field.name == b"dkim-signature"][:MAX_READ]
    if not found:
        return ()
    own = domains.registrable(domain_of(author))[0]
    tagged = [(field, tag_list(field.value)) for field in found]
    placed = [(field, tags, _is_of(own, tags, domains)) for field, tags in tagged]
    placed.sort(key=lambda each: not each[2])
    body = _Body(raw[end + 4 :])
    return tuple(_signed(field, tags, fields, body, is_aligned=is_aligned) for field, tags, is_aligned in placed[:most])


def dkim_signals(results: Iterable[tuple[Signed, str]]) -> tuple[str, ...]:
    """``dkim_pass`` and its kin for signatures and what each came to, and ``dkim_aligned``; sorted.

    Any good signature is enough, else the first that says something counts, as of a trusted server's results.
    """
    told = [(signed, result) for signed, result in results if result != "neutral"]
    if not told:
        return ()
    good = [signed for signed, result in told if result == "pass"]
    if not good:
        return (f"dkim_{told[0][1]}",)
    return (DKIM_ALIGNED, "dkim_pass") if any(signed.is_aligned for signed in good) else ("dkim_pass",)


def fields_of(header: bytes) -> Iterator[Field]:
    """The fields of a header block, continuation lines joined; what is none is left out."""
    lines: list[bytes] = []
    for line in [*header.split(b"\r\n"), b""]:
        if line[:1] in (b" ", b"\t"):
            lines.append(line)
            continue
        name, colon, _ = lines[0].partition(b":") if lines else (b"", b"", b"")
        if colon:
            yield Field(name=name.rstrip(_WSP).lower(), raw=b"\r\n".join(lines))
        lines = [line]


def tag_list(value: bytes) -> Mapping[bytes, bytes] | None:
    """A tag list (RFC 6376 section 3.2); None where it is none."""
    if len(value) > _MAX_FIELD_BYTES:
        return None
    found: dict[bytes, bytes] = {}
    for segment in value.split(b";"):
        name, sign, text = segment.partition(b"=")
        name = name.strip(_FWS)
        if not sign and not name:
            continue
        if not sign or not name or name in found:
            return None
        found[name] = text.strip(_FWS)
    return found


def _is_of(own: str, tags: Mapping[bytes, bytes] | None, domains: Domains) -> bool:
    domain = _domain(tags)
    return bool(own and domain) and domains.registrable(domain)[0] == own


def _domain(tags: Mapping[bytes, bytes] | None) -> str:
    return (tags or {}).get(b"d", b"").decode("ascii", "replace").lower().rstrip(".")


def _signed(
    field: Field,
    tags: Mapping[bytes, bytes] | None,
    fields: tuple[Field, ...],
    body: _Body,
    *,
    is_aligned: bool,
) -> Signed:
    domain = _domain(tags)
    if tags is None:
        return Signed(domain=domain, is_aligned=is_aligned, result="permerror")
    try:
        identity = _check(tags, domain, fields)
        header_way, body_way = _ways(tags.get(b"c", b"simple/simple"))
        _check_body(tags, body, is_relaxed=body_way)
        return Signed(
            domain=domain,
            selector=tags[b"s"].decode("ascii", "replace").lower(),
            identity=identity,
            algorithm=ALGORITHMS[tags[b"a"].lower()],
            digest=_header_digest(field, tags[b"h"], fields, is_relaxed=header_way),
            value=_octets(tags[b"b"]),
            expires=_number(tags[b"x"]) if b"x" in tags else 0,
            is_aligned=is_aligned,
        )
    except _Bad as exc:
        return Signed(domain=domain, is_aligned=is_aligned, result=exc.result)


def _check(tags: Mapping[bytes, bytes], domain: str, fields: tuple[Field, ...]) -> str:
    """The domain of ``i=``. Raises _Bad for what section 6.1.1 calls invalid, and for a second author unsigned."""
    if any(not tags.get(name) for name in _NEEDED) or tags[b"v"] != b"1" or tags[b"a"].lower() not in ALGORITHMS:
        raise _Bad
    methods = [method.strip(_FWS).lower() for method in tags.get(b"q", b"dns/txt").split(b":")]
    identity = tags.get(b"i", b"@" + tags[b"d"]).rpartition(b"@")[2].decode("ascii", "replace").lower()
    if b"dns/txt" not in methods or not is_within(identity, domain):
        raise _Bad
    if not _is_name(domain) or not _is_name(f"{tags[b's'].decode('ascii', 'replace')}.{domain}"):
        raise _Bad
    signed = [name for name in _names(tags[b"h"]) if name == b"from"]
    if not signed:
        raise _Bad
    # Readers show one author; who signed the other one has not signed what they show.
    if len(signed) < sum(field.name == b"from" for field in fields):
        raise _Bad("policy")
    return identity


def _is_name(domain: str) -> bool:
    return "." in domain and domain.isascii() and domain.replace(".", "").replace("-", "").replace("_", "").isalnum()


def _ways(text: bytes) -> tuple[bool, bool]:
    """Whether header and body are relaxed."""
    header, _, body = text.lower().partition(b"/")
    ways = {b"simple": False, b"relaxed": True}
    header, body = header.strip(_FWS), body.strip(_FWS) or b"simple"
    if header not in ways or body not in ways:
        raise _Bad
    return ways[header], ways[body]


def _names(text: bytes) -> list[bytes]:
    return [name.strip(_FWS).lower() for name in text.split(b":")]


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > _MAX_DIGITS:
        raise _Bad
    return int(text)


def _octets(text: bytes) -> bytes:
    try:
        return base64.b64decode(text.translate(None, _FWS), validate=True)
    except binascii.Error:
        raise _Bad from None


class _Body:
    """A body, put into each of its two forms at most once."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._known: dict[bool, tuple[bytes, int]] = {}

    def hashed(self, *, is_relaxed: bool) -> tuple[bytes, int]:
        """SHA-256 of the form, and its length."""
        if is_relaxed not in self._known:
            form = relaxed_body(self._raw) if is_relaxed else simple_body(self._raw)
            self._known[is_relaxed] = (hashlib.sha256(form).digest(), len(form))
        return self._known[is_relaxed]


def _check_body(tags: Mapping[bytes, bytes], body: _Body, *, is_relaxed: bool) -> None:
    digest, size = body.hashed(is_relaxed=is_relaxed)
    if b"l" in tags and (signed := _number(tags[b"l"])) != size:
        raise _Bad("policy" if signed < size else "permerror")
    if _octets(tags[b"bh"]) != digest:
        raise _Bad("fail")


def simple_body(body: bytes) -> bytes:
    """Section 3.4.3: without the empty lines at its end, and with one line end there."""
    text = body.rstrip(b"\r\n")
    # Only these two octets are in the rest: a zero stands for a line end meanwhile.
    rest = body[len(text) :].replace(b"\r\n", b"\0").rstrip(b"\0").replace(b"\0", b"\r\n")
    return text + rest + b"\r\n"


def relaxed_body(body: bytes) -> bytes:
    """Section 3.4.4: the same, with white space in lines made one, and none at their ends; empty where nothing is."""
    form = _with_single_spaces(body).replace(b" \r\n", b"\r\n")
    form = simple_body(form.removesuffix(b" "))
    return b"" if form == b"\r\n" else form


def _with_single_spaces(text: bytes) -> bytes:
    text = text.replace(b"\t", b" ")
    # Halves the longest run each time, so that the octets are gone through twenty times at most.
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def _header_digest(field: Field, signed: bytes, fields: tuple[Field, ...], *, is_relaxed: bool) -> bytes:
    """Section 3.7: the fields that are signed, the last of a name first, and the signature without its value."""
    names = _names(signed)
    if len(names) > _MAX_SIGNED_FIELDS:
        raise _Bad
    left: dict[bytes, list[bytes]] = {}
    for each in fields:
        left.setdefault(each.name, []).append(each.raw)
    form = _relaxed if is_relaxed else _simple
    hashed = hashlib.sha256()
    for name in names:
        if left.get(name):
            hashed.update(form(left[name].pop()) + b"\r\n")
    hashed.update(form(_without_value(field.raw)))
    return hashed.digest()


def _simple(raw: bytes) -> bytes:
    return raw


def _relaxed(raw: bytes) -> bytes:
    name, _, value = raw.partition(b":")
    return name.rstrip(_WSP).lower() + b":" + _with_single_spaces(value.replace(b"\r\n", b"")).strip(b" ")


def _without_value(raw: bytes) -> bytes:
    """The signature field with an empty ``b=``."""
    head, colon, value = raw.partition(b":")
    segments = value.split(b";")
    cut = [s[: s.index(b"=") + 1] if s.partition(b"=")[0].strip(_FWS) == b"b" else s for s in segments]
    return head + colon + b";".join(cut)

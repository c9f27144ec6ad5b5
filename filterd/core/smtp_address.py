"""Arguments of MAIL and RCPT, and who may relay where (RFC 5321 sections 4.1.2 and 3.6, RFC 6531 for UTF-8).

What is accepted is kept as it came, to the letter: the next hop must judge the same address. Source routes are
refused everywhere; ``%``, ``!`` and ``@`` in a local part are refused where they could make the next hop relay.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto

from filterd.core.envelope import domain_of

MAX_ADDRESS_CHARS = 320

# What a class may not hold is named, so that UTF-8 is in it: to name all of Unicode costs the compiler 10 ms each time.
_ATOM = r'[^\0-\x20"(),:;<>@\[\\\]\x7f-\x9f]+'
_QUOTED = r'"(?:[^\0-\x1f"\\\x7f-\x9f]|\\[ -~])*"'
_EDGE, _INNER = r"[^\0-/:-@\[-^`{-\x9f]", r"[^\0-,./:-@\[-^`{-\x9f]"
_LABEL = rf"{_EDGE}(?:{_INNER}*{_EDGE})?"
_LITERAL = r"\[[A-Za-z0-9:.-]+\]"
_ADDRESS = rf"(?:{_ATOM}|{_QUOTED})@(?:{_LABEL}(?:\.{_LABEL})*|{_LITERAL})"
# Case is ignored for one word only: for the whole, the compiler would look at every character of Unicode, for 0.1 s.
_PATH = re.compile(rf"<({_ADDRESS}|(?i:postmaster)|)>(?: +(.*))?")
_ANGLES = re.compile(r"<[^<>]*>")
_PARAMETER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(?:=[^\0-\x20=\x7f-\x9f]+)?")
_ROUTING = frozenset("@%!")


class Fault(Enum):
    """Why an argument is refused."""

    SYNTAX = auto()
    ADDRESS = auto()
    PARAMETER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """An address and its ESMTP parameters as received; the address is empty for the null sender."""

    address: str
    parameters: tuple[str, ...] = ()


def parse_path(argument: str, keyword: str) -> Path | Fault:
    """The path in ``FROM:<a@b> SIZE=1`` or ``TO:<c@d>``; ``keyword`` is ``FROM`` or ``TO``."""
    head, colon, rest = argument.partition(":")
    if not colon or head.strip().upper() != keyword:
        return Fault.SYNTAX
    text = rest.strip(" ")
    match = _PATH.fullmatch(text)
    if match is None:
        return Fault.ADDRESS if _ANGLES.match(text) else Fault.SYNTAX
    address, tail = match[1], match[2] or ""
    if len(address) > MAX_ADDRESS_CHARS or (keyword == "TO" and not address):
        return Fault.ADDRESS
    if keyword == "FROM" and address and "@" not in address:
        return Fault.ADDRESS
    parameters = tuple(tail.split())
    if not all(_PARAMETER.fullmatch(parameter) for parameter in parameters):
        return Fault.PARAMETER
    return Path(address=address, parameters=parameters)


def parameter_name(parameter: str) -> str:
    """``SIZE`` of ``size=123``."""
    return parameter.partition("=")[0].upper()


def is_ascii_only(path: Path) -> bool:
    """Whether the path can travel without SMTPUTF8."""
    return path.address.isascii() and all(parameter.isascii() for parameter in path.parameters)


def may_relay(address: str, domains: Collection[str]) -> bool:
    """Whether mail for ``address`` is taken from anywhere: its final domain is one of ``domains``.

    A domain with a leading dot covers subdomains. ``postmaster`` without a domain is always taken (section 4.5.1).
    """
    if "@" not in address:
        return address.lower() == "postmaster"
    local = address.rpartition("@")[0]
    if not _ROUTING.isdisjoint(local):
        return False
    domain = canonical_domain(domain_of(address))
    if not domain:
        return False
    if domain in domains:
        return True
    labels = domain.split(".")
    return any("." + ".".join(labels[i:]) in domains for i in range(1, len(labels)))


def canonical_domain(domain: str) -> str:
    """``domain`` in lower case and ASCII (IDNA 2003); empty where it has no such form."""
    if domain.isascii():
        return domain.lower()
    try:
        return domain[:255].encode("idna").decode("ascii").lower()
    except UnicodeError:
        return ""

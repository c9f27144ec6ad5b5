"""The commands that name sender and recipients, with those parameters that a server has offered to take.

What it has not offered is left out (RET, ENVID, NOTIFY and ORCPT of RFC 3461, BODY of RFC 6152), but for SMTPUTF8:
without it nothing is sent at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from filterd.core.envelope import Envelope, Recipient
from filterd.core.smtp_address import parameter_name
from filterd.core.smtp_reply import Offers
from filterd.errors import RelayUnavailable

_DSN_OF_MAIL = frozenset({"RET", "ENVID"})
_DSN_OF_RCPT = frozenset({"NOTIFY", "ORCPT"})


def can_carry(envelope: Envelope, recipients: Sequence[Recipient], offers: Offers) -> bool:
    """Whether the next hop takes these addresses (RFC 6531 section 3.2)."""
    if "SMTPUTF8" in offers:
        return True
    words = [envelope.sender, *envelope.parameters]
    words += [word for r in recipients for word in (r.address, *r.parameters)]
    return all(word.isascii() for word in words) and "SMTPUTF8" not in map(str.upper, envelope.parameters)


def mail_line(envelope: Envelope, offers: Offers) -> str:
    """The MAIL command with those parameters that the server takes. Raises RelayUnavailable."""

    def is_known(name: str) -> bool:
        if name in _DSN_OF_MAIL:
            return "DSN" in offers
        return name == "SMTPUTF8" or (name == "BODY" and "8BITMIME" in offers)

    return _line(f"MAIL FROM:<{envelope.sender}>", envelope.parameters, is_known)


def rcpt_line(recipient: Recipient, offers: Offers) -> str:
    """The same for RCPT."""
    return _line(
        f"RCPT TO:<{recipient.address}>",
        recipient.parameters,
        lambda name: name in _DSN_OF_RCPT and "DSN" in offers,
    )


def _line(head: str, parameters: Sequence[str], is_known: Callable[[str], bool]) -> str:
    line = " ".join([head, *(p for p in parameters if is_known(parameter_name(p)))])
    # The edge lets no such character in; a held envelope or a caller's mistake must not become a command either.
    if not line.isprintable() and any(c < " " or c == "\x7f" for c in line):
        raise RelayUnavailable("a control character in an address")
    return line

"""Who a message is from and to, as transported (RFC 5321 section 2.3.1), and our id for it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NewType

MessageId = NewType("MessageId", str)
"""UUIDv7 as 32 lower-case hex digits, minted by the edge that received the message."""
_ID = re.compile(r"[0-9a-f]{32}")


class Channel(StrEnum):
    """What kind of traffic a message belongs to."""

    EMAIL = "email"
    SMS = "sms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The client a message came from; behind a trusted proxy, the client the proxy names."""

    address: str = ""
    """IP address in text form; empty when unknown."""
    port: int = 0
    name: str = ""
    """Verified reverse name, if a trusted peer gave one."""
    helo: str = ""
    protocol: str = ""
    """SMTP, ESMTP, ESMTPS, or the SMS provider's name."""
    login: str = ""
    """Authenticated user name, if a trusted peer gave one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One accepted recipient with its ESMTP parameters as received (RFC 3461: NOTIFY, ORCPT)."""

    address: str
    parameters: tuple[str, ...] = ()

    @property
    def domain(self) -> str:
        """The domain in lower case; empty for a phone number."""
        return domain_of(self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Sender and recipients of one message, in the order they were accepted."""

    id: MessageId
    """Empty for a message that nobody has sent."""
    channel: Channel
    sender: str
    """MAIL FROM without the angle brackets; empty is the null sender. For an SMS, the originator."""
    recipients: tuple[Recipient, ...]
    received_at: datetime
    """Aware, UTC."""
    peer: Peer = Peer()
    parameters: tuple[str, ...] = ()
    """ESMTP parameters of MAIL as received, without SIZE: BODY, SMTPUTF8, RET, ENVID."""
    queue_id: str = ""
    """The mail server's own name for the message, where it said one; for the log only."""

    def __post_init__(self) -> None:
        if self.received_at.tzinfo is None:
            raise ValueError("received_at must be aware")

    @property
    def is_rehearsal(self) -> bool:
        """Whether it is only asked what would be done: there is no id, and judging leaves no trace."""
        return not self.id

    def only(self, recipients: tuple[Recipient, ...]) -> Envelope:
        """The same envelope for a part of its recipients."""
        return self if recipients == self.recipients else replace(self, recipients=recipients)


def is_message_id(text: str) -> bool:
    """Whether ``text`` has the form of a MessageId."""
    return _ID.fullmatch(text) is not None


def domain_of(address: str) -> str:
    """The part after the last ``@`` in lower case, without a trailing dot; empty where there is none."""
    return address.rpartition("@")[2].lower().rstrip(".") if "@" in address else ""


def address_key(address: str) -> str:
    """What an address or number is looked up by: lower case, a number without its plus sign."""
    key = address.strip().lower()
    return key if "@" in key else key.removeprefix("+")


def is_within(domain: str, other: str) -> bool:
    """Whether ``domain`` is ``other`` or below it; case and a leading ``@`` of the latter do not matter."""
    name = other.lower().removeprefix("@").rstrip(".")
    return domain == name or domain.endswith(f".{name}")

"""Who may see and do what: roles, and whose messages a person reaches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from filterd.core.envelope import address_key, domain_of


class Role(StrEnum):
    """What a person is here for."""

    ADMINISTRATOR = "administrator"
    """Everything, for everybody."""
    MODERATOR = "moderator"
    """The messages of some domains, and rules for them."""
    USER = "user"
    """The messages to their own addresses, and rules for them."""
    AUDITOR = "auditor"
    """Reads everything but bodies, and changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Whose messages: those to any of these recipients."""

    is_everybody: bool = False
    domains: frozenset[str] = frozenset()
    """Recipient domains, lower case; subdomains are domains of their own."""
    addresses: frozenset[str] = frozenset()
    """Keys (``address_key``) of recipient addresses and phone numbers."""

    def covers(self, recipient: str) -> bool:
        """Whether ``recipient``'s messages are within reach."""
        if self.is_everybody:
            return True
        key = address_key(recipient)
        return key in self.addresses or ("@" in key and domain_of(key) in self.domains)

    def part_of(self, recipients: Iterable[str]) -> tuple[str, ...]:
        """Those of ``recipients`` that are within reach, in their order."""
        return tuple(recipient for recipient in recipients if self.covers(recipient))


EVERYBODY = Reach(is_everybody=True)


def reach_of(scope: str) -> Reach:
    """Whose messages a rule of this scope (``overlay.known_scope``) is about; empty is everybody's."""
    if not scope:
        return EVERYBODY
    is_address = bool(domain_of(scope)) or scope.isdigit()
    return Reach(addresses=frozenset((scope,))) if is_address else Reach(domains=frozenset((scope,)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who has signed in."""

    name: str
    """Login: what ledgers and the audit call them."""
    role: Role
    addresses: frozenset[str] = frozenset()
    """Keys of their own addresses and phone numbers."""
    domains: frozenset[str] = frozenset()
    """Domains a moderator looks after, lower case."""

    @property
    def reach(self) -> Reach:
        """Whose messages they see."""
        if self.role in {Role.ADMINISTRATOR, Role.AUDITOR}:
            return EVERYBODY
        domains = self.domains if self.role is Role.MODERATOR else frozenset()
        return Reach(domains=domains, addresses=self.addresses)

    @property
    def may_act(self) -> bool:
        """Whether they may release, delete, label and make rules within their reach."""
        return self.role is not Role.AUDITOR

    @property
    def may_read(self) -> bool:
        """Whether they may see what is in a message."""
        return self.role is not Role.AUDITOR

    @property
    def is_staff(self) -> bool:
        """Whether they look after others' mail."""
        return self.role is not Role.USER

    @property
    def is_administrator(self) -> bool:
        """Whether models, accounts and rules for everybody are theirs."""
        return self.role is Role.ADMINISTRATOR

"""Does what a link of a digest is for: once, in the name of its account, and within what that account reaches now.

Looking changes nothing, however often. What could not be done can be tried again with the same link.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from filterd import actions
from filterd.account_ports import Account, Accounts
from filterd.core.digest import Verb
from filterd.core.overlay import known_entry
from filterd.core.secret_digest import digest
from filterd.digest_ports import Ticket, Tickets
from filterd.errors import FilterdError, NotFound, UsageError
from filterd.log import Events
from filterd.ports import Clock, HeldState, HeldSummary, Quarantine


class ErrandState(StrEnum):
    """How it stands with a link."""

    OPEN = "open"
    DONE = "done"
    """Just now."""
    USED = "used"
    """Before."""
    EXPIRED = "expired"
    GONE = "gone"
    """The message was released or deleted otherwise, or is out of the account's reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What a link is for."""

    ticket: Ticket
    state: ErrandState
    language: str
    """Of the account; empty where it has none."""
    held: HeldSummary | None = None
    """The message, its recipients within reach; None where it is gone. Never its body."""


class TicketDesk:
    """Makes links, looks at them and does what they are for."""

    def __init__(
        self,
        tickets: Tickets,
        accounts: Accounts,
        quarantine: Quarantine,
        deeds: actions.Actions,
        *,
        clock: Clock,
        events: Events,
    ) -> None:
        self._tickets = tickets
        self._accounts = accounts
        self._quarantine = quarantine
        self._actions = deeds
        self._clock = clock
        self._events = events

    async def look(self, secret: str) -> Errand:
        """What the link with that secret is for. Raises NotFound for no link of ours, and StoreUnavailable."""
        return (await self._found(secret))[0]

    async def carry_out(self, secret: str) -> Errand:
        """Do it, if it is still to be done; how it stands then.

        Raises NotFound for no link of ours, UsageError where it cannot be done, RelayUnavailable, RelayAmbiguous and
        StoreUnavailable; after these the link can be used again.
        """
        errand, account = await self._found(secret)
        if errand.state is not ErrandState.OPEN or errand.held is None:
            return errand
        if not await self._tickets.use_ticket(digest(secret)):
            return replace(errand, state=ErrandState.USED)
        try:
            state = await self._act(errand.ticket, account)
        except FilterdError:
            await self._tickets.reopen_ticket(digest(secret))
            raise
        self._events.digest_link_used(errand.held.id, account.name, errand.ticket.verb.value, state.value)
        return replace(errand, state=state)

    async def _found(self, secret: str) -> tuple[Errand, Account]:
        ticket = await self._tickets.find_ticket(digest(secret))
        account = None if ticket is None else await self._accounts.find_account(ticket.account)
        if ticket is None or account is None or account.is_disabled or not account.person.may_act:
            raise NotFound("no such link")
        if ticket.used_at is not None:
            state = ErrandState.USED
        elif ticket.expires_at <= self._clock.now():
            state = ErrandState.EXPIRED
        else:
            held = await self._held(ticket, account)
            state = ErrandState.GONE if held is None else ErrandState.OPEN
            return Errand(ticket=ticket, state=state, language=account.language, held=held), account
        return Errand(ticket=ticket, state=state, language=account.language), account

    async def _held(self, ticket: Ticket, account: Account) -> HeldSummary | None:
        try:
            held = await self._quarantine.held(ticket.held, account.digest_person.reach)
        except NotFound:
            return None
        return held.summary if held.summary.state is HeldState.HELD else None

    async def _act(self, ticket: Ticket, account: Account) -> ErrandState:
        try:
            await self._actions.act(account.digest_person, actions.Verb(ticket.verb.value), ticket.held)
        except UsageError:
            if await self._held(ticket, account) is not None:
                raise
            return ErrandState.GONE  # somebody was faster
        return ErrandState.DONE


def verbs_for(held: HeldSummary) -> Sequence[Verb]:
    """What can be done with a message: a sender that no list can name is not offered to be allowed."""
    try:
        known_entry(held.sender)
    except ValueError:
        return tuple(verb for verb in Verb if verb is not Verb.ALLOW)
    return tuple(Verb)


def new_tickets(account: Account, held: HeldSummary, clock: Clock, days: int) -> Mapping[Verb, tuple[str, Ticket]]:
    """For each verb a secret of 256 random bits, and the ticket that it opens for so many days."""
    expires_at = clock.now() + timedelta(days=days)
    return {
        verb: (
            secrets.token_urlsafe(32),
            Ticket(account=account.name, held=held.id, verb=verb, expires_at=expires_at),
        )
        for verb in verbs_for(held)
    }

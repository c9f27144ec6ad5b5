"""Sends people the digest of what is held for them, when it is due, and only if something is new.

Of several hosts the one that claims a digest sends it. It goes straight to the next hop, past the filter, and is
written down as told once the next hop has taken it: a process that dies in between leads to the same mail once more,
with the same Message-ID, and never to one that is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Mapping
from datetime import datetime

from filterd.account_ports import Account, Accounts
from filterd.clock import mint_id
from filterd.core.digest import Verb, first_since, latest_slot
from filterd.core.envelope import Channel, Envelope, Recipient
from filterd.core.secret_digest import digest as hashed
from filterd.core.verdict import Reply
from filterd.digest_ports import Composer, Digest, DigestClaim, DigestItem, Digests, Ticket, Tickets
from filterd.errors import NotFound, RelayAmbiguous, RelayUnavailable, TemporaryError, UsageError
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.ports import Clock, HeldState, HeldSummary, Relay
from filterd.review_ports import HeldQuery, Review
from filterd.ticket_desk import new_tickets
from filterd.web_settings import DigestSettings
from filterd.zones import zone_of

LOOK_SECONDS = 30.0
LEASE_SECONDS = 600.0
"""Longer than the next hop may take to answer."""
RETRY_SECONDS = 900.0
REST_SECONDS = 300.0
"""Between two looks at a digest that failed, or that somebody else is sending."""


class DigestKeeper:
    """Looks whose digest is due, and sends it."""

    def __init__(
        self,
        *,
        accounts: Accounts,
        digests: Digests,
        tickets: Tickets,
        review: Review,
        relay: Relay,
        compose: Composer,
        settings: DigestSettings,
        clock: Clock,
        metrics: Metrics,
        events: Events,
    ) -> None:
        self._accounts = accounts
        self._digests = digests
        self._tickets = tickets
        self._review = review
        self._relay = relay
        self._compose = compose
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._events = events
        self._seen: dict[str, tuple[datetime, float]] = {}
        """The slot last looked at, and until when (monotonic) it needs no second look."""

    async def watch(self) -> None:
        """Look for digests that are due, until cancelled."""
        while True:
            with contextlib.suppress(TemporaryError, TimeoutError):
                await self.send_due()
            await asyncio.sleep(LOOK_SECONDS)

    async def send_due(self) -> None:
        """Send every digest that is due now. Raises StoreUnavailable."""
        for account in await self._accounts.list_accounts():
            slot = self._slot(account)
            if slot is None or self._is_seen(account, slot):
                continue
            is_told = await self._send(account, slot)
            rest_seconds = math.inf if is_told else REST_SECONDS
            self._seen[account.name] = (slot, self._clock.monotonic() + rest_seconds)

    def _is_seen(self, account: Account, slot: datetime) -> bool:
        seen, until = self._seen.get(account.name, (None, 0.0))
        return seen == slot and self._clock.monotonic() < until

    def _slot(self, account: Account) -> datetime | None:
        """The slot whose digest they must have had by now; None where they get none."""
        reach = account.digest_person.reach
        is_for_them = account.person.may_act and account.mailbox and (reach.addresses or reach.domains)
        if account.is_disabled or not is_for_them:
            return None
        schedule = account.digest or self._settings.schedule
        slot = latest_slot(schedule, zone_of(schedule.zone), self._clock.now())
        return slot if slot is not None and slot > account.created_at else None

    async def _send(self, account: Account, slot: datetime) -> bool:
        """Whether they have been told now, or nothing is new."""
        claim = await self._digests.claim_digest(account.name, slot, LEASE_SECONDS)
        if claim is None:
            return False
        digest = await self._gather(account, claim)
        if digest.items and not await self._hand_over(digest):
            await self._digests.put_off_digest(account.name, RETRY_SECONDS)
            return False
        await self._digests.finish_digest(account.name, slot)
        return True

    async def _gather(self, account: Account, claim: DigestClaim) -> Digest:
        """What is new for them, and the links: those of a digest that is sent again are new ones, the old ones work."""
        settings = self._settings
        schedule = account.digest or settings.schedule
        zone = zone_of(schedule.zone)
        query = HeldQuery(
            reach=account.digest_person.reach,
            since=claim.told_until or first_since(schedule, zone, claim.slot),
            until=claim.slot,
            states=frozenset({HeldState.HELD}),
            limit=settings.max_items,
        )
        found = await self._review.list_held(query)
        made = [new_tickets(account, held, self._clock, settings.link_days) for held in found]
        await self._tickets.add_tickets({hashed(secret): ticket for each in made for secret, ticket in each.values()})
        items = [await self._item(account, held, each) for held, each in zip(found, made, strict=True)]
        return Digest(
            account=account,
            slot=claim.slot,
            zone=zone,
            items=items,
            count=max(await self._review.count_held(query), len(items)),
            link_days=settings.link_days,
        )

    async def _item(self, account: Account, held: HeldSummary, made: Mapping[Verb, tuple[str, Ticket]]) -> DigestItem:
        return DigestItem(
            held=held,
            threshold=await self._threshold(account, held),
            secrets={verb: secret for verb, (secret, _) in made.items()},
        )

    async def _threshold(self, account: Account, held: HeldSummary) -> float | None:
        try:
            verdicts = await self._review.verdicts(held.id, account.digest_person.reach)
        except NotFound:
            return None
        return next((row.threshold for row in verdicts if row.action is held.action), None)

    async def _hand_over(self, digest: Digest) -> bool:
        """Whether the next hop took it."""
        account, mail = digest.account, ""
        try:
            mail, raw = self._compose(digest)
            reply = await self._relay.send(self._envelope(account), raw)
        except (UsageError, RelayUnavailable, RelayAmbiguous) as exc:
            self._failed(account, mail, "failed", exc.detail)
            return False
        if not reply.is_positive:
            self._failed(account, mail, "refused", _code_of(reply))
            return False
        self._metrics.digests.labels("sent").inc()
        self._events.digest_sent(account.name, mail, len(digest.items))
        return True

    def _envelope(self, account: Account) -> Envelope:
        """From the null sender: nothing answers it (RFC 5321 section 4.5.5)."""
        return Envelope(
            id=mint_id(self._clock),
            channel=Channel.EMAIL,
            sender="",
            recipients=(Recipient(address=account.mailbox),),
            received_at=self._clock.now(),
        )

    def _failed(self, account: Account, mail: str, result: str, error: str) -> None:
        self._metrics.digests.labels(result).inc()
        self._events.digest_failed(account.name, mail, error, RETRY_SECONDS)


def _code_of(reply: Reply) -> str:
    """The code alone: the next hop's words may name the recipient."""
    return f"{reply.code} {reply.enhanced}".strip()

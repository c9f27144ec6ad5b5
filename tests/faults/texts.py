"""The SMS line under fault: a provider that remembers what it was told, a customer that records, and their ledger."""

from __future__ import annotations

import asyncio
import base64
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import select

from filterd import config as configuration
from filterd.core.envelope import Channel
from filterd.demo.customer import CustomerUrl
from filterd.demo.webhook_client import signed_request
from filterd.store.inbox import SmsState
from filterd.store.schema import HeldRecord, SmsMessageRecord, SmsPartRecord
from filterd.store.sql import open_store
from tests.faults.ledger import Attempt, Audit, Delivered, Held, Nature, Status, Told, audit
from tests.faults.rig import IN_CUSTODY, Rig

SECRET = "whsec_" + base64.b64encode(b"a key of thirty-two bytes, exact").decode()
TEXTS = {Nature.HAM: "see you at lunch", Nature.SPAM: "lottery winner call now"}
VERDICTS = {"accept": Status.NO, "quarantine": Status.YES, "": Status.UNSCANNED}


def settings(customer: CustomerUrl) -> str:
    """What the configuration says of the provider and the customer."""
    return f'[sms.generic]\nsecret = "{SECRET}"\ndeliver_url = "{customer.url}"\n'


@dataclass(slots=True, kw_only=True)
class Provider:
    """Calls the webhook on a port."""

    port: int
    attempts: list[Attempt] = field(default_factory=list)

    def call(self, token: str, nature: Nature) -> Told:
        """One call for one SMS."""
        url, headers, body = signed_request(
            "generic",
            base_url=f"http://127.0.0.1:{self.port}",
            secret=SECRET,
            id=token,
            sender="+15550001",
            recipient="+15550002",
            text=TEXTS[nature],
            now=datetime.now(UTC),
        )
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=15) as answer:
                status = answer.status
        except urllib.error.HTTPError as exc:
            status = exc.code
        except OSError:
            status = 0
        told = Told.ACKED if 200 <= status < 300 else Told.REFUSED if 400 <= status < 500 else Told.UNCLEAR
        self.attempts.append(Attempt(token=token, nature=nature, told=told, reply=str(status)))
        return told


def forwarded(customer: CustomerUrl, tokens: Mapping[str, str]) -> list[Delivered]:
    """What the customer has, by message id -> token; forwards under one idempotency key are one."""
    calls = {call["idempotency-key"]: call for call in list(customer.received)}
    return [
        Delivered(token=tokens.get(call["x-filterd-id"], ""), status=VERDICTS[call.get("x-filterd-verdict", "")])
        for call in calls.values()
    ]


def books(rig: Rig, provider: Provider, customer: CustomerUrl) -> Audit:
    """What does not add up about every SMS so far; one that still waits in the inbox or outbox is in custody."""
    messages, held = asyncio.run(_rows(rig))
    delivered = forwarded(customer, {id: token for id, token, _ in messages})
    gone = {copy.token for copy in delivered}
    waiting = [token for _, token, state in messages if state != SmsState.DONE and token not in gone]
    kept = [token for id, token, _ in messages if id in held and token not in waiting]
    return audit(provider.attempts, delivered, [Held(token=token) for token in (*waiting, *kept)])


async def _rows(rig: Rig) -> tuple[list[tuple[str, str, str]], set[str]]:
    """Id, token and state of every SMS, and the ids of those in quarantine."""
    config = configuration.load(rig.config, {}).config
    every = select(SmsMessageRecord.id, SmsPartRecord.provider_id, SmsMessageRecord.state).join(
        SmsPartRecord, SmsPartRecord.message_id == SmsMessageRecord.id
    )
    in_quarantine = select(HeldRecord.message_id).where(
        HeldRecord.channel == Channel.SMS.value, HeldRecord.state.in_(IN_CUSTODY)
    )
    async with open_store(config, is_migrating=False) as store:
        messages = await store._read(lambda connection: connection.execute(every).all())
        held = await store._read(lambda connection: connection.execute(in_quarantine).scalars().all())
    return [(row[0], row[1], row[2]) for row in messages], set(held)

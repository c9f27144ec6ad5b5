"""Somebody who gets digests: what is held for them, the keeper that tells, and the mails it sent."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from filterd.account_ports import Account
from filterd.core.access import Role
from filterd.core.envelope import MessageId
from filterd.core.verdict import Action, Decision, Outcome, OutcomeKind, Reason, Verdict
from filterd.digest_keeper import DigestKeeper
from filterd.replies import HELD
from filterd.testing import RecordingRelay, a_scan, an_envelope
from filterd.web.digest_mail import DigestMails
from filterd.web_settings import DigestSettings, WebSettings
from tests.filterd.web_visitor import House, a_house

ANN = "ann@example.org"
BOB = "bob@example.org"
SPAMMER = "offers@shop.example"
DAY_SECONDS = 86_400.0
URL = "http://filter.local"
_LINK = re.compile(rf"{URL}/d/[A-Za-z0-9_-]+")
_HOLD = Decision(action=Action.QUARANTINE, reason=Reason.SPAM, detail="normal", threshold=0.9, scan=a_scan(0.973))


@dataclass
class Mailboxes:
    """The pages, the keeper of digests, and the next hop that gets them."""

    house: House
    keeper: DigestKeeper
    hop: RecordingRelay
    held: list[MessageId] = field(default_factory=list)

    async def open(self, name: str = ANN, role: Role = Role.USER, **more: Any) -> Account:
        """An account that was made a week ago."""
        made = self.house.clock.now() - timedelta(days=7)
        account = Account(name=name, role=role, created_at=made, **{"addresses": (name,), **more})
        await self.house.store.accounts.add_account(account, "test")
        return account

    async def hold(self, *recipients: str, sender: str = SPAMMER, subject: str = "Cheap watches") -> MessageId:
        """Hold a spam now; its id."""
        id = MessageId(f"{len(self.held) + 1:032x}")
        envelope = replace(an_envelope(sender, *(recipients or (ANN,)), id=id), received_at=self.house.clock.now())
        raw = f"From: {sender}\r\nSubject: {subject}\r\n\r\nthe body nobody may see\r\n".encode()
        outcome = Outcome(kind=OutcomeKind.HELD, reply=HELD)
        await self.house.store.hold(envelope, raw, _HOLD)
        await self.house.store.record(Verdict.of(envelope, len(raw), _HOLD, outcome, {}))
        self.held.append(id)
        return id

    async def tomorrow(self) -> None:
        """A day later; what is due has been sent."""
        self.house.clock.advance(DAY_SECONDS)
        await self.keeper.send_due()

    @property
    def mails(self) -> list[EmailMessage]:
        """What the next hop took, oldest first."""
        return [parsed(raw) for _, raw in self.hop.sent]

    @property
    def delivered(self) -> list[tuple[str, ...]]:
        """Recipients of every message that was released."""
        return [tuple(r.address for r in envelope.recipients) for envelope, _ in self.house.relay.sent]


def mailboxes(**settings: Any) -> Mailboxes:
    """Nobody yet; digests are due at 07:00 UTC every day."""
    web = WebSettings(public_url=URL, digest=DigestSettings(sender="filter@example.org", **settings))
    house, hop = a_house(web), RecordingRelay()
    parts, store = house.parts, house.store
    keeper = DigestKeeper(
        accounts=store.accounts,
        digests=store.digests,
        tickets=store.digests,
        review=store.review,
        relay=hop,
        compose=DigestMails(web, parts.renderer, hostname="mx.example.org", key=b"key"),
        settings=web.digest,
        clock=house.clock,
        metrics=house.metrics,
        events=parts.events,
    )
    return Mailboxes(house, keeper, hop)


def parsed(raw: bytes) -> EmailMessage:
    """The mail as a mail program reads it."""
    mail = message_from_bytes(raw, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def text_of(mail: EmailMessage, kind: str = "plain") -> str:
    """Its plain text, or its HTML."""
    body = mail.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def links_of(mail: EmailMessage) -> list[str]:
    """Paths of its links that do something: release, teach, allow, delete of the first message, then of the next."""
    return [link.removeprefix(URL) for link in _LINK.findall(text_of(mail))]

"""One SMTP session: the mail transaction (RFC 5321 section 4.1), recipients mirrored to the next hop, the message held.

A transaction with the next hop is opened with the first recipient, and every recipient gets the next hop's own
reply. The message is sent on only with its verdict, in a task that outlives the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from filterd.beside import beside_loop
from filterd.clock import mint_id
from filterd.core.envelope import Channel, Envelope, Recipient
from filterd.core.headers import count_hops, header_bytes
from filterd.core.smtp_address import Path, may_relay, parameter_name, parse_path
from filterd.core.smtp_data import DataReceiver
from filterd.core.verdict import Label, Reply
from filterd.edges import smtp_replies as say
from filterd.edges.smtp_greeting import Greeting
from filterd.edges.smtp_parameters import declared_size, fault, is_utf8, mail_refused, rcpt_refused
from filterd.edges.smtp_wire import ClientGone, MessageBroken
from filterd.errors import BareNewline, MailLoop, MessageError, MessageTooLarge, RelayUnavailable
from filterd.failpoints import failpoint
from filterd.ports import MailTransaction
from filterd.replies import smtp_reply

if TYPE_CHECKING:
    from filterd.edges.smtp import SmtpEdge


MAX_HEADER_BYTES = 524_288
"""Headers are gone through on the event loop: this many take a fifth of a second at worst. Exim takes 1 MiB."""


_UNJUDGED: Mapping[type[MessageError], str] = MappingProxyType(
    {MessageTooLarge: "too_large", BareNewline: "bare_newline", MailLoop: "loop"}
)


class SmtpSession(Greeting):
    """A connection of the SMTP edge."""

    def __init__(self, edge: SmtpEdge) -> None:
        super().__init__(edge)
        self._mail: Envelope | None = None
        self._recipients: list[Recipient] = []
        self._report: tuple[Label, ...] = ()
        """What the report address means that this transaction is for; none in a transaction for ordinary recipients."""
        self._taken = 0
        """Recipients of either kind that were answered with 250."""
        self._is_whole = False
        """Whether a message has arrived, or is dropped on its way, and must be answered."""
        self._transaction: MailTransaction | None = None
        self._reserved = 0

    # --- state

    def replies_to_message(self) -> int:
        """How many replies a message has: one speaks for all recipients (RFC 5321 section 4.1.1.4)."""
        return 1

    @property
    def owed(self) -> int:
        """How many replies the client waits for."""
        return self.replies_to_message() if self._is_whole else 1

    @property
    def is_in_transaction(self) -> bool:
        """Whether MAIL was said."""
        return self._mail is not None

    @property
    def message_id(self) -> str:
        """The id of the message in hand, for reports."""
        return self._mail.id if self._mail else ""

    def reset(self) -> None:
        """Forget the mail transaction (RFC 5321 section 4.1.1.5)."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            transaction.abort()
        self._mail = None
        self._recipients = []
        self._report = ()
        self._taken, self._is_whole = 0, False
        self._edge.budget.release(self._reserved)
        self._reserved = 0

    # --- transaction

    async def do_mail(self, argument: str) -> None:
        """Begin a transaction. The next hop hears of it with the first recipient."""
        path = parse_path(argument, "FROM")
        refusal = self._mail_not_now() or fault(path)
        if refusal is None and isinstance(path, Path):
            refusal = mail_refused(path, self._keywords, self._edge.max_bytes)
        if refusal is not None or not isinstance(path, Path):
            self.answer_no(refusal or say.BAD_SYNTAX)
            return
        if not self._edge.budget.has_room(declared_size(path)):
            self.reply(say.BUSY)
            return
        self._mail = Envelope(
            id=mint_id(self._edge.clock),
            channel=Channel.EMAIL,
            sender=path.address,
            recipients=(),
            received_at=self._edge.clock.now(),
            peer=self.peer,
            parameters=tuple(p for p in path.parameters if parameter_name(p) != "SIZE"),
        )
        failpoint("smtp.mail")
        self.reply(say.SENDER_OK)

    def _mail_not_now(self) -> Reply | None:
        if not self._helo:
            return say.HELO_FIRST
        if self._mail is not None:
            return say.NESTED_MAIL
        if not self._edge.has_room():
            return say.NO_ROOM
        return None

    async def do_rcpt(self, argument: str) -> None:
        """Ask the next hop about a recipient."""
        mail = self._mail
        if mail is None:
            self.refuse(say.MAIL_FIRST)
            return
        path = parse_path(argument, "TO")
        refusal = fault(path)
        if refusal is None and isinstance(path, Path):
            refusal = rcpt_refused(path, self._keywords, utf8=is_utf8(mail.parameters))
        if refusal is not None or not isinstance(path, Path):
            self.refuse(refusal or say.BAD_SYNTAX)
            return
        reply = self._report_address(mail, path.address)
        if reply is None:
            reply = await self._ordinary(mail, path)
        self._taken += reply.is_positive
        if reply.is_permanent and not self.is_trusted:
            self._errors += 1  # somebody tries addresses
        self.reply(reply)

    def _report_address(self, mail: Envelope, address: str) -> Reply | None:
        """The reply to a report address, or to any other in a transaction for one; None for ordinary recipients."""
        desk = self._edge.reports
        labels = desk.labels(address)
        if labels and not desk.is_believed(mail.sender, self._connected, self._forwarded):
            self._edge.report_refused(mail)
            return say.NOT_A_REPORTER
        if (labels and self._recipients) or (self._report and labels != self._report):
            return say.REPORT_APART
        if not labels:
            return None
        self._report = labels
        return say.RECIPIENT_OK

    async def _ordinary(self, mail: Envelope, path: Path) -> Reply:
        """The reply to a recipient whose mail is handed on."""
        if len(self._recipients) >= self._edge.max_recipients:
            return say.TOO_MANY_RECIPIENTS
        if not self.is_trusted and not may_relay(path.address, self._edge.relay_domains):
            return say.RELAY_DENIED
        return await self._mirror(mail, Recipient(address=path.address, parameters=path.parameters))

    async def _mirror(self, mail: Envelope, recipient: Recipient) -> Reply:
        """The next hop's reply to ``recipient``."""
        if self._transaction is None:
            self._transaction = self._edge.next_hop.open(mail)
        try:
            reply = await self._transaction.rcpt(recipient)
        except RelayUnavailable as exc:
            self._edge.relay_failed(mail.id, exc)
            return smtp_reply(exc)
        if reply.is_positive:
            self._recipients.append(recipient)
        return reply

    async def do_data(self, argument: str) -> bool:
        """Take the message."""
        if argument:
            self.refuse(say.BAD_SYNTAX)
        elif self._mail is None:
            self.refuse(say.MAIL_FIRST)
        elif not self._recipients and not self._report:
            self.refuse(say.NO_VALID_RECIPIENTS if self._transaction else say.RCPT_FIRST)
        else:
            return await self._message(self._mail)
        return True

    async def _message(self, mail: Envelope) -> bool:
        self.reply(say.SEND_DATA)
        await self.flush()
        failpoint("smtp.data")
        receiver = DataReceiver(self._edge.max_bytes)
        try:
            await self._received(receiver)
        except MessageBroken as exc:
            self._edge.count_unjudged("broken")
            self.hang_up(exc.reply)
            return False
        except (ClientGone, asyncio.CancelledError):
            self._edge.count_unjudged("client_gone")
            raise
        self._is_whole = True
        if receiver.is_dropped and not receiver.is_too_large:
            self._edge.count_unjudged("busy")
            self._dismiss(say.BUSY)
            return True
        try:
            raw = await self._checked(receiver)
        except MessageError as exc:
            self._edge.count_unjudged(_UNJUDGED[type(exc)])
            self._errors += 1
            self._dismiss(smtp_reply(exc))
            return True
        await self._hand_over(mail, raw)
        return True

    def _dismiss(self, reply: Reply) -> None:
        """Answer a message that is not judged."""
        owed = self.owed
        self.reset()
        for _ in range(owed):
            self.reply(reply)

    async def _received(self, receiver: DataReceiver) -> None:
        settings = self._edge.settings
        await self.receive(
            receiver,
            seconds=settings.data_timeout_seconds,
            credit=settings.idle_timeout_seconds,
            rate=settings.min_data_bytes_per_second,
        )

    async def _checked(self, receiver: DataReceiver) -> bytes:
        """The message. Raises MessageError."""
        return await beside_loop(partial(self._check, receiver), receiver.received)

    def _check(self, receiver: DataReceiver) -> bytes:
        settings = self._edge.settings
        raw = receiver.message(normalize=settings.bare_newline == "normalize")
        if header_bytes(raw) > MAX_HEADER_BYTES:
            raise MessageTooLarge(f"{header_bytes(raw)} octets of headers")
        hops = count_hops(raw)
        if hops > settings.max_hops:
            raise MailLoop(f"{hops} hops")
        return raw

    async def _hand_over(self, mail: Envelope, raw: bytes) -> None:
        """Give the message to a task of its own: the client may vanish, the message may not."""
        failpoint("smtp.received")
        envelope = replace(mail, recipients=tuple(self._recipients))
        reserved, self._reserved = self._reserved, 0
        work: Coroutine[Any, Any, Sequence[Reply]]
        if self._report:
            work = self._edge.take_report(envelope, raw, self._report, reserved, self.owed)
        else:
            transaction, self._transaction = self._transaction, None
            assert transaction is not None
            work = self._edge.commit(envelope, raw, transaction, reserved, self.owed)
        self.reset()
        self._forwarded, self._junk = None, 0
        task = self._edge.spawn(work)
        del raw, work
        replies = await asyncio.shield(task)
        failpoint("smtp.answered")
        for reply in replies:
            self.reply(reply)

    def is_affordable(self, receiver: DataReceiver) -> bool:
        """Whether the memory budget has room for a message that declared less than it brings."""
        grown = self._edge.budget.grow(self._reserved, receiver.received)
        if grown is None:
            return False
        self._reserved = grown
        return True

    # --- the rest

    async def do_rset(self, argument: str) -> None:
        """Forget the transaction."""
        if argument:
            self.refuse(say.BAD_SYNTAX)
            return
        self.reset()
        self._forwarded = None
        self.reply(say.OK)

    async def do_noop(self, _argument: str) -> None:
        """Nothing."""
        self.reply(say.OK)

    async def do_vrfy(self, argument: str) -> None:
        """Never tells who exists."""
        if argument:
            self.reply(say.CANNOT_VERIFY)
        else:
            self.refuse(say.BAD_SYNTAX)

    async def do_quit(self, _argument: str) -> bool:
        """Part."""
        self.hang_up(say.BYE)
        return False

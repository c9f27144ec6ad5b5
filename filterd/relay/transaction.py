"""One mail transaction with the next hop: sender, recipients, then the message or nothing.

The message itself is sent only once the verdict is known. Until its final dot has left, every failure is safe and is
a RelayUnavailable; from then on silence is a RelayAmbiguous, because the next hop may have the message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from filterd.beside import beside_loop
from filterd.core.envelope import Envelope, Recipient
from filterd.core.smtp_data import emit
from filterd.core.verdict import Reply
from filterd.core.xforward import forward_commands
from filterd.errors import RelayAmbiguous, RelayUnavailable
from filterd.failpoints import failpoint
from filterd.relay.commands import can_carry, mail_line, rcpt_line
from filterd.relay.connection import DRAIN_ABOVE_BYTES, Connection
from filterd.relay.pool import Pool
from filterd.replies import NEXT_HOP_CLOSED, TEMPORARY, UTF8_NOT_POSSIBLE
from filterd.settings import SmtpSettings

Told = Reply | RelayAmbiguous
"""What the next hop said, or that it fell silent after the final dot."""


class Transaction:
    """A transaction that mirrors what the sender said."""

    def __init__(self, envelope: Envelope, pool: Pool, settings: SmtpSettings) -> None:
        self._envelope = envelope
        self._pool = pool
        self._settings = settings
        self._connection: Connection | None = None
        self._mail_reply: Reply | None = None
        self._accepted: list[Recipient] = []
        self._is_over = False

    async def rcpt(self, recipient: Recipient) -> Reply:
        """The next hop's reply to this recipient, or to MAIL where it refused that.

        Raises RelayUnavailable. MAIL goes out with the first recipient, in the same packet where that is allowed.
        """
        assert not self._is_over, "the transaction has ended"
        if self._mail_reply is None:
            return (await self._begin([recipient]))[0]
        if not self._mail_reply.is_positive:
            return self._mail_reply
        if self._connection is None or not self._connection.is_usable:
            if self._accepted:
                raise RelayUnavailable("next hop closed the connection")
            self._mail_reply = None
            return (await self._begin([recipient]))[0]
        offers = self._connection.offers
        if not can_carry(self._envelope, [recipient], offers):
            return UTF8_NOT_POSSIBLE
        replies = await self._command(self._connection, [rcpt_line(recipient, offers)])
        return self._note([recipient], replies)[0]

    async def send(self, envelope: Envelope, raw: bytes) -> Reply:
        """The next hop's reply to the message. Raises RelayUnavailable or RelayAmbiguous.

        Uses the mirrored transaction where ``envelope`` has its recipients, else one of its own; the same where the
        connection died in the meantime, which is safe because nothing was sent.
        """
        if not self._is_mirrored(envelope):
            return await self._anew(envelope).send_all(raw)
        try:
            return _one(await self._message(raw))
        finally:
            self._finish()

    async def send_each(self, envelope: Envelope, raw: bytes) -> Sequence[Told]:
        """See ``ports.MailTransaction``: like ``send``, with what the next hop said for each recipient."""
        if not self._is_mirrored(envelope):
            return await self._anew(envelope).send_some(raw)
        try:
            return await self._message(raw)
        finally:
            self._finish()

    async def send_all(self, raw: bytes) -> Reply:
        """Sender, recipients and message in one go; all recipients or none.

        The reply is the first refusal, where there is one. Raises RelayUnavailable or RelayAmbiguous.
        """
        try:
            replies = await self._begin(self._envelope.recipients)
            refused = next((reply for reply in replies if not reply.is_positive), None)
            if refused is not None:
                self.abort()
                return refused
            return _one(await self._message(raw))
        finally:
            self._finish()

    async def send_some(self, raw: bytes) -> Sequence[Told]:
        """The same for those recipients that the next hop takes: what it said for each. Raises RelayUnavailable."""
        try:
            replies: list[Told] = list(await self._begin(self._envelope.recipients))
            if not self._accepted:
                self.abort()
                return replies
            told = iter(await self._message(raw))
            return [next(told) if isinstance(reply, Reply) and reply.is_positive else reply for reply in replies]
        finally:
            self._finish()

    def _is_mirrored(self, envelope: Envelope) -> bool:
        """Whether the next hop has heard of these recipients, all of them and nobody else."""
        connection = self._connection
        return envelope.recipients == tuple(self._accepted) and connection is not None and connection.is_usable

    def _anew(self, envelope: Envelope) -> Transaction:
        self.abort()
        return Transaction(envelope, self._pool, self._settings)

    def abort(self) -> None:
        """End it without a message; no effect after ``send``."""
        if self._is_over:
            return
        self._is_over = True
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if not connection.is_usable:
            connection.fail(RelayUnavailable("given up"))
        elif self._mail_reply is not None and self._mail_reply.is_positive:
            connection.reset(self._pool.put)
        else:
            self._pool.put(connection)

    def _finish(self) -> None:
        """Give the connection back: for reuse after a whole exchange, else dropped."""
        if self._is_over:
            return
        self._is_over = True
        connection, self._connection = self._connection, None
        if connection is not None:
            if connection.is_usable:
                self._pool.put(connection)
            else:
                connection.fail(RelayUnavailable("given up"))

    async def _begin(self, recipients: Sequence[Recipient]) -> list[Reply]:
        """The replies to the recipients. A pooled connection that proves dead before MAIL is answered is replaced."""
        connection = await self._pool.acquire()
        try:
            replies = await self._open_with(connection, recipients)
            if self._mail_reply is not NEXT_HOP_CLOSED or not connection.is_reused:
                return replies
        except RelayUnavailable:
            if self._mail_reply is not None or not connection.is_reused:
                raise
        self._mail_reply = None
        return await self._open_with(await self._pool.acquire(fresh=True), recipients)

    async def _open_with(self, connection: Connection, recipients: Sequence[Recipient]) -> list[Reply]:
        self._connection = connection
        offers = connection.offers
        if not can_carry(self._envelope, recipients, offers):
            self._mail_reply = UTF8_NOT_POSSIBLE
            return [UTF8_NOT_POSSIBLE for _ in recipients]
        envelope = self._envelope
        forward = forward_commands(envelope.peer, envelope.id, offers.forwards)
        lines = [*forward, mail_line(envelope, offers), *(rcpt_line(r, offers) for r in recipients)]
        if "PIPELINING" not in offers:
            return await self._one_by_one(connection, lines, len(forward), recipients)
        replies = await self._command(connection, lines)
        return self._mail_answered(replies[len(forward)], recipients, replies[len(forward) + 1 :])

    async def _one_by_one(
        self, connection: Connection, lines: Sequence[str], forwards: int, recipients: Sequence[Recipient]
    ) -> list[Reply]:
        for line in lines[:forwards]:
            await self._command(connection, [line])
        (mail,) = await self._command(connection, [lines[forwards]])
        if mail.code != 250:
            return self._mail_answered(mail, recipients, [])
        replies = [reply for line in lines[forwards + 1 :] for reply in await self._command(connection, [line])]
        return self._mail_answered(mail, recipients, replies)

    def _mail_answered(self, mail: Reply, recipients: Sequence[Recipient], replies: list[Reply]) -> list[Reply]:
        self._mail_reply = self._judged(mail, 250)
        if not self._mail_reply.is_positive:
            return [self._mail_reply for _ in recipients]
        return self._note(recipients, replies)

    def _note(self, recipients: Sequence[Recipient], replies: Sequence[Reply]) -> list[Reply]:
        sane = [self._judged(reply, 250, 251) for reply in replies]
        self._accepted += [r for r, reply in zip(recipients, sane, strict=True) if reply.is_positive]
        return sane

    def _judged(self, reply: Reply, *expected: int) -> Reply:
        """``reply`` as the sender may see it. A next hop out of step with us is not asked again."""
        sane = _sane(reply, *expected)
        if sane is not reply and self._connection is not None:
            self._connection.fail(RelayUnavailable(f"next hop answered {reply.code}"))
        return sane

    async def _command(self, connection: Connection, lines: Sequence[str]) -> list[Reply]:
        return await connection.command(lines, self._settings.next_hop_timeout_seconds)

    async def _message(self, raw: bytes) -> list[Told]:
        """DATA and the message; what was said for each accepted recipient. All after the dot has to fit into one limit.

        Raises RelayUnavailable.
        """
        connection = self._connection
        assert connection is not None
        deadline = asyncio.get_running_loop().time() + self._settings.next_hop_timeout_seconds
        failpoint("relay.data")
        (ready,) = await self._command(connection, ["DATA"])
        if ready.code != 354:
            refusal = self._judged(ready)
            self._drop_transaction(connection)
            return [refusal] * len(self._accepted)
        failpoint("relay.body")
        wire = await beside_loop(partial(emit, raw), len(raw), above=DRAIN_ABOVE_BYTES)
        is_lmtp = self._settings.next_hop_protocol == "lmtp"
        futures = connection.expect(len(self._accepted) if is_lmtp else 1)
        if len(wire) > DRAIN_ABOVE_BYTES:
            early = await self._drained(connection, wire, futures[0], deadline)
            if early is not None:
                return [early] * len(self._accepted)
            wire = wire[-3:]
        connection.write(wire)
        failpoint("relay.dot")
        told = await self._answers(connection, futures, deadline)
        return told if is_lmtp else told * len(self._accepted)

    async def _answers(
        self, connection: Connection, futures: Sequence[asyncio.Future[Reply]], deadline: float
    ) -> list[Told]:
        """What the next hop said after the dot; what was heard before it fell silent holds."""
        left = deadline - asyncio.get_running_loop().time()
        try:
            replies = await connection.replies(futures, max(left, 0.0))
        except RelayUnavailable as exc:
            silence = RelayAmbiguous(exc.detail)
            return [silence if future.exception() else self._judged(future.result(), 250) for future in futures]
        return [self._judged(reply, 250) for reply in replies]

    async def _drained(
        self, connection: Connection, wire: bytes, answer: asyncio.Future[Reply], deadline: float
    ) -> Reply | None:
        """Write all but the final dot and wait until it has left; the next hop's reply if it gives up meanwhile.

        Raises RelayUnavailable.
        """
        connection.write(wire[:-3])
        try:
            async with asyncio.timeout_at(deadline):
                await connection.drained()
        except (TimeoutError, RelayUnavailable) as exc:
            connection.fail(RelayUnavailable("message could not be written"))
            if answer.done() and answer.exception() is None and answer.result().code >= 400:
                return _sane(answer.result())
            raise RelayUnavailable("message could not be written") from exc
        if answer.done():
            connection.fail(RelayUnavailable("next hop answered before the end of data"))
            if answer.exception() is None and answer.result().code >= 400:
                return _sane(answer.result())
            raise RelayUnavailable("next hop answered before the end of data")
        return None

    def _drop_transaction(self, connection: Connection) -> None:
        """After a refused DATA the sender and recipients may still stand (RFC 5321 section 4.1.1.4)."""
        self._is_over = True
        self._connection = None
        connection.reset(self._pool.put)


def _one(told: Sequence[Told]) -> Reply:
    """What is said where one reply speaks for all: the first failure, where there is one. Raises RelayAmbiguous."""
    worst = next((each for each in told if not isinstance(each, Reply) or not each.is_positive), told[-1])
    if isinstance(worst, RelayAmbiguous):
        raise worst
    return worst


def _sane(reply: Reply, *expected: int) -> Reply:
    """``reply`` as the sender may see it: no success but the expected one, no demand for more, no closing."""
    if reply.code == 421:
        return NEXT_HOP_CLOSED
    if reply.code >= 400 or reply.code in expected:
        return reply
    return TEMPORARY

"""One connection of a mail server: negotiation, then message after message, each answered when it is whole.

Asks for no answer in between where the mail server can do without, so a message costs one turn. A message that the
mail server takes back (its client has gone, or said RSET) is forgotten; one that is whole is carried to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from filterd.beside import beside_loop
from filterd.clock import mint_id
from filterd.core.envelope import Channel, Envelope, MessageId, Peer, Recipient
from filterd.core.milter_codec import (
    CONTINUE,
    NO_REPLY,
    PROGRESS,
    SKIP,
    VERSION,
    Can,
    Connect,
    Frames,
    Header,
    Negotiation,
    Path,
    Step,
    negotiation,
    read_connect,
    read_header,
    read_macros,
    read_negotiation,
    read_path,
    reply_code,
)
from filterd.core.milter_message import rebuild
from filterd.core.smtp_address import parameter_name
from filterd.edges.milter_answer import Shown
from filterd.edges.smtp_replies import BUSY
from filterd.errors import MessageTooLarge, MilterBroken
from filterd.replies import smtp_reply

if TYPE_CHECKING:
    from filterd.edges.milter import MilterEdge

MAX_HEADER_BYTES = 524_288
"""As in an SMTP session: headers are gone through on the event loop."""
PROGRESS_SECONDS = 10.0
"""How often a mail server that waits hears that we live; Postfix gives up after 300 seconds without."""
_CHUNK_BYTES = 262_144
_NEEDED = Can.ADD_HEADERS | Can.CHANGE_HEADERS | Can.DELETE_RECIPIENTS
_WANTED = Step.NO_END_OF_HEADERS | Step.NO_UNKNOWN | Step.NO_DATA | Step.SKIP | Step.LEADING_SPACE
_MACROS = {b"H": "{tls_version}", b"M": "i {auth_authen}", b"E": "i {auth_authen}"}
"""What is asked for. Postfix knows its queue id from the first recipient on only."""
_COMMAND = itemgetter(0)
_OF_A_MESSAGE = (b"M", b"R", b"T", b"L", b"N", b"B", b"E")
_MAIL_PARAMETERS = frozenset({"BODY", "SMTPUTF8", "RET", "ENVID"})
_RCPT_PARAMETERS = frozenset({"NOTIFY", "ORCPT"})


class MilterSession:
    """A connection of the milter edge."""

    def __init__(self, edge: MilterEdge, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._edge = edge
        self._reader = reader
        self._writer = writer
        self._max_bytes = edge.settings.max_message_bytes
        self._frames = Frames()
        self._steps: Step | None = None
        """What was agreed upon; None before."""
        self._answered: frozenset[bytes] = frozenset()
        """Commands that the mail server wants an answer to before the end of the message."""
        self._macros: dict[bytes, Mapping[str, str]] = {}
        self._client = Connect(name="")
        self._helo = ""
        self._reserved = 0
        self._is_over = False
        self._commands: Mapping[bytes, Callable[[bytes], None]] = {
            b"C": self._connected,
            b"H": self._greeted,
            b"D": self._learn,
            b"M": self._begin,
            b"R": self._add_recipient,
            b"T": self._pass_over,
            b"N": self._pass_over,
            b"A": self._forget,
            b"U": self._pass_over,
            b"K": self._next_client,
            b"Q": self._quit,
        }
        self._reset()

    @property
    def is_between_messages(self) -> bool:
        """Whether the connection may be closed without a message being lost to its client."""
        return self._mail is None

    @property
    def message_id(self) -> str:
        """The id of the message in hand, for reports."""
        return self._id

    async def run(self) -> None:
        """Speak until the mail server parts. Raises MilterBroken."""
        with contextlib.suppress(TimeoutError, OSError):
            while not self._is_over and (data := await self._read()):
                for command, frames in groupby(self._frames.feed(data), _COMMAND):
                    await self._obey(command, [payload for _, payload in frames])
                await self._writer.drain()

    async def _read(self) -> bytes:
        """What comes next; empty at the end."""
        async with asyncio.timeout(self._edge.settings.idle_timeout_seconds):
            return await self._reader.read(_CHUNK_BYTES)

    def close(self) -> None:
        """Part from the mail server."""
        self._is_over = True
        self._writer.close()

    def end(self) -> None:
        """The connection is over, whoever ended it."""
        self._forget()
        self.close()

    def _reset(self) -> None:
        self._edge.budget.release(self._reserved)
        self._reserved = 0
        self._id = MessageId("")
        self._mail: Path | None = None
        self._recipients: list[Path] = []
        self._headers: list[Header] = []
        self._body: list[bytes] = []
        self._header_bytes = self._size = 0
        self._failure: bytes = b""
        """The answer to a message whose octets are no longer kept."""
        for command in _OF_A_MESSAGE:
            self._macros.pop(command, None)

    # --- commands

    async def _obey(self, command: bytes, payloads: Sequence[bytes]) -> None:
        """Do what consecutive frames of one command say."""
        if command == b"L" and self._steps is not None:
            self._add_headers(payloads)
        elif command == b"B" and self._steps is not None:
            self._add_body(payloads)
        else:
            for payload in payloads:
                if self._is_over:
                    return
                await self._obey_one(command, payload)
        if command in self._answered:
            can_skip = command == b"B" and self._failure and Step.SKIP in (self._steps or Step(0))
            self._writer.write((SKIP if can_skip else CONTINUE) * len(payloads))

    async def _obey_one(self, command: bytes, payload: bytes) -> None:
        if command == b"O":
            self._negotiate(payload)
        elif self._steps is None:
            raise MilterBroken("no offer")
        elif command == b"E":
            await self._end_of_message(payload)
        elif command in self._commands:
            self._commands[command](payload)
        else:
            raise MilterBroken(f"command {command!r}")

    def _connected(self, payload: bytes) -> None:
        self._client = read_connect(payload)

    def _greeted(self, payload: bytes) -> None:
        self._helo = read_path(payload).address

    def _learn(self, payload: bytes) -> None:
        macros = read_macros(payload)
        self._macros[macros.command] = dict(macros.values)

    def _begin(self, payload: bytes) -> None:
        macros = self._macros.get(b"M", {})
        self._forget()
        self._macros[b"M"] = macros
        self._mail, self._id = read_path(payload), mint_id(self._edge.clock)

    def _add_recipient(self, payload: bytes) -> None:
        if self._grow(len(payload)):
            self._recipients.append(read_path(payload))

    def _forget(self, _payload: bytes = b"") -> None:
        """The mail server takes back the message it has begun to show."""
        if self._headers:
            self._edge.count_unjudged("client_gone")
        self._reset()

    def _next_client(self, _payload: bytes) -> None:
        self._forget()
        self._macros.clear()
        self._client, self._helo = Connect(name=""), ""

    def _quit(self, _payload: bytes) -> None:
        self.close()

    def _pass_over(self, _payload: bytes) -> None:
        pass

    def _negotiate(self, payload: bytes) -> None:
        offered = read_negotiation(payload)
        needed = _NEEDED | Can.QUARANTINE if self._edge.settings.quarantine == "mta" else _NEEDED
        if missing := needed & ~offered.actions:
            raise MilterBroken(f"not offered: {missing!r}")
        wanted = _WANTED
        for step in NO_REPLY.values():
            wanted |= step
        self._steps = steps = wanted & offered.steps
        self._answered = frozenset(command for command, spared in NO_REPLY.items() if spared not in steps)
        taken = Negotiation(
            version=min(VERSION, offered.version),
            actions=needed | (Can.CHOOSE_MACROS & offered.actions),
            steps=steps,
        )
        self._writer.write(negotiation(taken, _MACROS))

    # --- the message

    def _add_headers(self, payloads: Sequence[bytes]) -> None:
        size = sum(map(len, payloads))
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            self._fail("too_large", reply_code(smtp_reply(MessageTooLarge())))
        if self._grow(size):
            self._headers += map(read_header, payloads)

    def _add_body(self, payloads: Sequence[bytes]) -> None:
        if self._grow(sum(map(len, payloads))):
            self._body += payloads

    def _grow(self, size: int) -> bool:
        """Whether so much more of the message can be kept."""
        self._size += size
        if self._failure:
            return False
        if self._size > self._max_bytes:
            self._fail("too_large", reply_code(smtp_reply(MessageTooLarge())))
            return False
        if self._size <= self._reserved:
            return True
        grown = self._edge.budget.grow(self._reserved, self._size)
        if grown is None:
            self._fail("busy", reply_code(BUSY))
            return False
        self._reserved = grown
        return True

    def _fail(self, why: str, answer: bytes) -> None:
        """Keep no more of the message; its answer is due at its end."""
        if not self._failure:
            self._edge.count_unjudged(why)
            self._failure = answer
        self._headers, self._body = [], []

    async def _end_of_message(self, payload: bytes) -> None:
        if self._mail is None:
            raise MilterBroken("end of no message")
        self._add_body([payload])
        if self._failure:
            answer = self._failure
        else:
            answer = await self._judged(self._mail)
        self._reset()
        self._writer.write(answer)
        if self._edge.is_draining:
            self.close()

    async def _judged(self, mail: Path) -> bytes:
        """The answer to the whole message."""
        shown, body = self._shown(mail), b"".join(self._body)
        self._body = []
        make = partial(rebuild, shown.headers, body, is_spaced=shown.is_spaced)
        raw = await beside_loop(make, self._size)
        reserved, self._reserved = self._reserved, 0
        task = self._edge.spawn(self._edge.commit(shown, raw, reserved))
        del raw, body, make
        # A task of its own: the mail server may vanish, what has begun to be held may not.
        while not (await asyncio.wait([task], timeout=PROGRESS_SECONDS))[0]:
            self._writer.write(PROGRESS)
        return task.result()

    def _shown(self, mail: Path) -> Shown:
        assert self._steps is not None
        return Shown(
            envelope=Envelope(
                id=self._id,
                channel=Channel.EMAIL,
                sender=mail.address,
                recipients=tuple(
                    Recipient(address=path.address, parameters=_known(path, _RCPT_PARAMETERS))
                    for path in self._recipients
                ),
                received_at=self._edge.clock.now(),
                peer=self._peer(),
                parameters=_known(mail, _MAIL_PARAMETERS),
                queue_id=self._macro("i"),
            ),
            headers=tuple(self._headers),
            arguments=tuple(path.argument for path in self._recipients),
            is_spaced=Step.LEADING_SPACE in self._steps,
        )

    def _peer(self) -> Peer:
        login = self._macro("auth_authen")
        protocol = f"ESMTP{'S' if self._macro('tls_version') else ''}{'A' if login else ''}"
        # A name in brackets, or this one, is what mail servers say where no name is verified.
        name = "" if self._client.name.startswith("[") or self._client.name == "unknown" else self._client.name
        return Peer(
            address=self._client.address,
            port=self._client.port,
            name=name,
            helo=self._helo,
            protocol=protocol,
            login=login,
        )

    def _macro(self, name: str) -> str:
        """The latest value of a macro, empty where the mail server has not said it."""
        return next((stage[name] for stage in reversed(self._macros.values()) if name in stage), "")


def _known(path: Path, names: frozenset[str]) -> tuple[str, ...]:
    return tuple(parameter for parameter in path.parameters if parameter_name(parameter) in names)

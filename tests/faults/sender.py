"""A mail server that sends: keeps a message until it is told 2xx, and writes down what it was told.

At one stage it can do something else: call ``strike``, which begins a fault elsewhere, or misbehave itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.faults.ledger import Attempt, Told
from tests.faults.letters import RECIPIENT, Letter
from tests.servers.gateway import LOOPBACK

PATIENCE_SECONDS = 15.0
"""Longest wait for one reply: longer than any limit of the configuration under test."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_STEP_SECONDS = 0.02


class Stage(StrEnum):
    """Where in a mail transaction something happens: just before this is sent."""

    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BODY = "body"
    DOT = "dot"
    QUIT = "quit"


class Manner(StrEnum):
    """How a sender can misbehave at a stage."""

    HANG = "hang"
    HALF_CLOSE = "half-close"
    RESET = "reset"
    SLOW = "slow"
    GARBAGE = "garbage"


class Gone(Exception):
    """The gateway said nothing, or the sender has left: there is no reply."""


@dataclass(slots=True, kw_only=True)
class Sender:
    """Sends letters to a port."""

    port: int
    address: str = LOOPBACK
    attempts: list[Attempt] = field(default_factory=list)
    letters: dict[str, Letter] = field(default_factory=dict)

    async def send(
        self,
        letter: Letter,
        *,
        stage: Stage | None = None,
        strike: Callable[[], None] | None = None,
        manner: Manner | None = None,
        is_theirs: bool = False,
    ) -> Attempt:
        """One attempt; ``is_theirs`` where a 5xx is not the gateway's own fault."""
        self.letters[letter.token] = letter
        session = _Session((self.address, self.port), letter, stage, strike, manner)
        try:
            reply = await session.run()
        except (Gone, OSError, TimeoutError):
            reply = ""
        attempt = Attempt(
            token=letter.token,
            nature=letter.nature,
            told=told(reply, is_whole=session.is_whole),
            reply=reply,
            is_theirs=is_theirs,
        )
        self.attempts.append(attempt)
        return attempt

    async def deliver(self, letter: Letter, *, tries: int = 100, pause_seconds: float = 0.1) -> Attempt:
        """Attempts until it is told 2xx; fails the test when that does not come."""
        for _ in range(tries):
            attempt = await self.send(letter)
            if attempt.told is Told.ACKED:
                return attempt
            assert attempt.told is not Told.REFUSED, attempt
            await asyncio.sleep(pause_seconds)
        raise AssertionError(f"not taken after {tries} attempts: {attempt}")


def told(reply: str, *, is_whole: bool) -> Told:
    """What a sender makes of ``reply``; empty where none came. ``is_whole`` says whether the final dot was sent."""
    if reply[:1] == "2":
        return Told.ACKED
    if reply[:1] == "5":
        return Told.REFUSED
    # 4.4.2 is our word for a next hop that fell silent after the final dot.
    is_unclear = is_whole and (not reply or "4.4.2" in reply)
    return Told.UNCLEAR if is_unclear else Told.DEFERRED


class _Session:
    def __init__(
        self,
        to: tuple[str, int],
        letter: Letter,
        stage: Stage | None,
        strike: Callable[[], None] | None,
        manner: Manner | None,
    ) -> None:
        self._to = to
        self._letter = letter
        self._stage = stage
        self._strike = strike
        self._manner = manner
        self._is_mute = False
        self.is_whole = False

    async def run(self) -> str:
        """The reply that speaks for the message: that to the final dot, or the first refusal. Raises Gone."""
        self._reader, self._writer = await asyncio.open_connection(*self._to)
        try:
            return await self._talk()
        finally:
            self._writer.transport.abort()

    async def _talk(self) -> str:
        await self._reply()
        await self._say(None, b"EHLO client.example")
        for stage, line in (
            (Stage.MAIL, f"MAIL FROM:<{self._letter.sender}>"),
            (Stage.RCPT, f"RCPT TO:<{RECIPIENT}>"),
            (Stage.DATA, "DATA"),
        ):
            reply = await self._say(stage, line.encode())
            if reply[:1] not in "23":
                return reply
        body = self._letter.raw.replace(b"\r\n.", b"\r\n..")
        half = len(body) // 2
        await self._write(None, body[:half])
        await self._write(Stage.BODY, body[half:])
        await self._write(Stage.DOT, b".\r\n", is_last=True)
        reply = await self._reply()
        with contextlib.suppress(Gone, OSError, TimeoutError):
            await self._say(Stage.QUIT, b"QUIT")
        return reply

    async def _say(self, stage: Stage | None, line: bytes) -> str:
        await self._write(stage, line + b"\r\n")
        return await self._reply()

    async def _write(self, stage: Stage | None, data: bytes, *, is_last: bool = False) -> None:
        """Send ``data``, or do at this stage what was asked for."""
        if self._is_mute:
            return
        is_now = stage is not None and stage is self._stage
        if is_now and self._strike is not None:
            self._strike()
        if is_now and self._manner is not None:
            await self._misbehave(self._manner, data, is_last=is_last)
            return
        self.is_whole = self.is_whole or is_last
        self._writer.write(data)
        await self._writer.drain()

    async def _misbehave(self, manner: Manner, data: bytes, *, is_last: bool) -> None:
        if manner is Manner.HANG:
            # Whatever the gateway says in the end is the reply.
            self._is_mute = True
            return
        if manner is Manner.GARBAGE:
            self._writer.write(b"\x00\xff\n\r" + data[:20][::-1] + b"\r\n")
            await self._writer.drain()
            return
        if manner is Manner.SLOW:
            self.is_whole = self.is_whole or is_last
            for octet in data[:40]:
                self._writer.write(bytes([octet]))
                await self._writer.drain()
                await asyncio.sleep(_STEP_SECONDS)
            self._writer.write(data[40:])
            return
        # Gone right after having said it: what comes back is read only where the other direction is open.
        self.is_whole = self.is_whole or is_last
        self._writer.write(data)
        await self._writer.drain()
        if manner is Manner.HALF_CLOSE:
            self._writer.write_eof()
            self._is_mute = True
            return
        await asyncio.sleep(_STEP_SECONDS)
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._writer.transport.abort()
        raise Gone

    async def _reply(self) -> str:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                line = (await self._reader.readline()).decode("ascii", "replace")
                if not line.endswith("\n"):
                    raise Gone
                if line[3:4] != "-":
                    return line.rstrip()

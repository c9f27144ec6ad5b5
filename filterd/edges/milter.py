"""The milter edge: a mail server shows each message, keeps it, and is told what to do with it.

Listens, limits, drains; each connection is a session of ``milter_session``. What the mail server does when we are
away is its own setting (``milter_default_action``), and should be to ask its client to try again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol

from filterd.core.envelope import Envelope
from filterd.core.headers import Stamp
from filterd.core.milter_codec import reply_code
from filterd.edge_settings import MilterSettings
from filterd.edges.limits import Budget, Sessions
from filterd.edges.milter_answer import Asking, Shown, answer
from filterd.edges.milter_session import MilterSession
from filterd.errors import MilterBroken
from filterd.log import Events
from filterd.metrics import Metrics
from filterd.milter_ports import MailServer
from filterd.pipeline import Processed
from filterd.ports import Clock, Relay
from filterd.replies import TEMPORARY

BACKLOG = 1024


class Process(Protocol):
    """``Pipeline.process``."""

    def __call__(
        self, envelope: Envelope, raw: bytes, relay: Relay, server: MailServer | None = None
    ) -> Awaitable[Processed]:
        """What became of the message."""
        ...


class MilterEdge:
    """Shows what mail servers ask about to ``process``."""

    def __init__(
        self,
        settings: MilterSettings,
        *,
        process: Process,
        next_hop: Relay,
        stamp: Callable[[], Stamp],
        clock: Clock,
        metrics: Metrics,
        events: Events,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.sessions = Sessions(settings.max_sessions, settings.max_sessions)
        self.budget = Budget(settings.max_in_flight_bytes)
        self.is_draining = False
        self._process = process
        self._next_hop = next_hop
        self._stamp = stamp
        self._metrics = metrics
        self._events = events
        self._servers: list[asyncio.Server] = []
        self._open: dict[MilterSession, asyncio.Task[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def serve(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket from now on."""
        start = asyncio.start_unix_server if sock.family == socket.AF_UNIX else asyncio.start_server
        self._servers.append(await start(self._connected, sock=sock, backlog=BACKLOG))

    async def drain(self, seconds: float) -> int:
        """Stop accepting, let messages in hand finish; how many sessions and messages had to be cut off."""
        self.is_draining = True
        for server in self._servers:
            server.close()
        for session in list(self._open):
            if session.is_between_messages:
                session.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._quiet.wait()
        abandoned = max(len(self._open), len(self._tasks))
        cut = [*self._open.values(), *self._tasks]
        for each in cut:
            each.cancel()
        await asyncio.gather(*cut, return_exceptions=True)
        return abandoned

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.sessions.enter():
            self._metrics.sessions_refused.labels("milter").inc()
            writer.close()
            return
        session = MilterSession(self, reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._open[session] = task
        self._quiet.clear()
        self._metrics.sessions.labels("milter").inc()
        try:
            await session.run()
        except MilterBroken as exc:
            self._events.milter_broken(exc.detail)
        except Exception as exc:  # noqa: BLE001  # whatever it is, the mail server asks its client to try again
            self._failed(session.message_id, exc)
        finally:
            session.end()
            self.sessions.leave()
            self._metrics.sessions.labels("milter").dec()
            del self._open[session]
            self._note_quiet()

    # --- what sessions ask for

    async def commit(self, shown: Shown, raw: bytes, reserved: int) -> bytes:
        """The frames that end a message. Never raises for a fault of ours."""
        try:
            server = Asking(is_holding=self.settings.quarantine == "mta")
            processed = await self._process(shown.envelope, raw, self._next_hop, server)
            return answer(shown, processed, self._stamp())
        except Exception as exc:  # noqa: BLE001  # whatever it is, the sender keeps the message and tries again
            self._failed(shown.envelope.id, exc)
            return reply_code(replace(TEMPORARY, lines=(f"{TEMPORARY.lines[0]}: {shown.envelope.id}",)))
        finally:
            self.budget.release(reserved)

    def spawn(self, work: Coroutine[Any, Any, bytes]) -> asyncio.Task[bytes]:
        """Run ``work`` to its end, whatever becomes of the session that asked for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        self._quiet.clear()
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[bytes]) -> None:
        self._tasks.discard(task)
        self._note_quiet()

    def _note_quiet(self) -> None:
        if not self._open and not self._tasks:
            self._quiet.set()

    def count_unjudged(self, why: str) -> None:
        """A message began to arrive and will not be judged."""
        self._metrics.unjudged.labels(why).inc()

    def _failed(self, id: str, error: BaseException) -> None:
        """Report a bug."""
        self._metrics.session_errors.labels("milter").inc()
        self._events.session_failed(id, error)

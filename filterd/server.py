"""One worker: starts the edges it is handed, runs the background tasks, reports to the supervisor, drains, stops.

It knows no adapter: ``bootstrap`` builds the parts. The single catch-all for bugs in background tasks and HTTP
applications is here; the SMTP edge has its own for sessions.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from filterd.config import from_tree
from filterd.control import Control
from filterd.errors import FilterdError
from filterd.log import Events
from filterd.settings import Config

REPORT_SECONDS = 5.0
_LOOK_SECONDS = 0.5
_TASK_PAUSE_SECONDS = 5.0


class Edge(Protocol):
    """Receives messages on sockets it is handed."""

    async def serve(self, sock: socket.socket) -> None:
        """Accept connections on a bound socket; returns once it does."""
        ...

    async def drain(self, seconds: float) -> int:
        """Stop accepting, let messages in flight finish for at most ``seconds``, and return how many did not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a worker is made of."""

    events: Events
    edges: Mapping[str, Edge]
    """By the name of the listeners they serve: ``smtp``, ``http``."""
    tasks: Mapping[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    """Background tasks by name; one that raises is reported and started again."""
    probes: Mapping[str, Callable[[], bool]] = field(default_factory=dict)
    """What readiness asks, by name."""
    is_broken: Callable[[], bool] = lambda: False
    """Whether the worker must drain and give its place to a new one."""
    reload: Callable[[Config], Awaitable[None]]
    """Takes new policy and models; raises FilterdError and keeps the old ones."""


class Server:
    """Runs the parts until the supervisor says drain, or is gone."""

    def __init__(self, *, parts: Parts, control: Control, drain_seconds: float) -> None:
        self._parts = parts
        self._control = control
        self._drain_seconds = drain_seconds
        self._stopping = asyncio.Event()
        self._is_listening = False

    async def run(self, sockets: Mapping[str, Sequence[socket.socket]]) -> bool:
        """Serve on ``sockets`` by edge name; after the drain, whether all is well."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        background = [asyncio.create_task(each) for each in (self._obey(), self._report_loop())]
        abandoned = 0
        try:
            background += [asyncio.create_task(self._forever(*task)) for task in self._parts.tasks.items()]
            for name, edge in self._parts.edges.items():
                for sock in sockets.get(name, ()):
                    await edge.serve(sock)
            self._is_listening = True
            self._report()
            await self._stopping.wait()
            self._is_listening = False
            self._report()
            drained = await asyncio.gather(*(e.drain(self._drain_seconds) for e in self._parts.edges.values()))
            abandoned = sum(drained)
        finally:
            await _cancel(background)
        self._control.send("stopped", abandoned=abandoned)
        return not self._parts.is_broken()

    async def _obey(self) -> None:
        """Do what the supervisor says; stop when it is gone."""
        while said := await self._control.receive():
            if said["kind"] == "drain":
                self._stopping.set()
            elif said["kind"] == "reload":
                self._control.send("reloaded", error=await self._reload(said["config"]))
        self._stopping.set()

    async def _reload(self, tree: Mapping[str, Any]) -> str:
        try:
            await self._parts.reload(from_tree(tree))
        except FilterdError as exc:
            return exc.detail
        except Exception as exc:  # noqa: BLE001  # a bug in a reload must not end a worker that serves
            self._parts.events.session_failed("reload", exc)
            return type(exc).__name__
        return ""

    async def _report_loop(self) -> None:
        """Report every change at once, and a sign of life every few seconds."""
        loop = asyncio.get_running_loop()
        last, said_at = self._up(), 0.0
        while True:
            now = self._up()
            if now != last or loop.time() - said_at >= REPORT_SECONDS:
                last, said_at = now, loop.time()
                self._report()
            if self._parts.is_broken():
                self._stopping.set()
            await asyncio.sleep(_LOOK_SECONDS)

    def _report(self) -> None:
        self._control.send("report", up=self._up())

    def _up(self) -> dict[str, bool]:
        return {"listening": self._is_listening, **{name: bool(probe()) for name, probe in self._parts.probes.items()}}

    async def _forever(self, name: str, task: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await task()
            except Exception as exc:  # noqa: BLE001  # the catch-all: one bad turn must not end the task
                self._parts.events.session_failed(name, exc)
            await asyncio.sleep(_TASK_PAUSE_SECONDS)


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

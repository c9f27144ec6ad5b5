"""One worker's life: report, obey, drain; a bug in a background task ends neither."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import structlog

from filterd import server
from filterd.control import Control
from filterd.errors import ConfigError
from filterd.log import AddressMask, Events
from filterd.server import Parts, Server
from filterd.settings import Config


class FakeEdge:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.served: list[socket.socket] = []
        self.drained: float | None = None

    async def serve(self, sock: socket.socket) -> None:
        self.served.append(sock)

    async def drain(self, seconds: float) -> int:
        self.drained = seconds
        return 2


class Bench:
    """A server with a fake edge, and the supervisor's end of its control connection."""

    def __init__(self, supervisor: Control, worker: Control) -> None:
        self.supervisor = supervisor
        self.worker = worker
        self.edge = FakeEdge()
        self.reloaded: list[Config] = []
        self.refusal: ConfigError | None = None
        self.is_broken = False

    async def reload(self, config: Config) -> None:
        if self.refusal:
            raise self.refusal
        self.reloaded.append(config)

    def start(self, tasks: dict[str, Callable[[], Awaitable[None]]] | None = None) -> asyncio.Task[bool]:
        parts = Parts(
            events=Events(structlog.get_logger(), AddressMask(b"key")),
            edges={"smtp": self.edge},
            tasks=tasks or {},
            probes={"store": lambda: True},
            is_broken=lambda: self.is_broken,
            reload=self.reload,
        )
        runner = Server(parts=parts, control=self.worker, drain_seconds=7.0)
        return asyncio.create_task(runner.run({"smtp": [socket.socket()]}))

    async def hear(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(10):
            while (said := await self.supervisor.receive()) is not None:
                if said["kind"] == kind:
                    return said
        raise AssertionError(f"the worker never said {kind}")


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    ours, theirs = socket.socketpair()
    found = Bench(await Control.over(ours), await Control.over(theirs))
    yield found
    for sock in found.edge.served:
        sock.close()
    await found.supervisor.close()
    await found.worker.close()


async def test_worker_when_told_to_drain_says_how_many_it_abandoned(bench: Bench) -> None:
    running = bench.start()
    while not (await bench.hear("report"))["up"]["listening"]:
        pass
    bench.supervisor.send("drain")

    assert (await bench.hear("stopped"))["abandoned"] == 2
    assert await running
    assert bench.edge.drained == 7.0


async def test_worker_when_its_supervisor_is_gone_drains(bench: Bench) -> None:
    running = bench.start()
    await bench.hear("report")
    await bench.supervisor.close()

    assert await asyncio.wait_for(running, 10)
    assert bench.edge.drained is not None


async def test_worker_when_broken_drains_and_says_that_all_is_not_well(bench: Bench) -> None:
    running = bench.start()
    await bench.hear("report")
    bench.is_broken = True

    assert not await asyncio.wait_for(running, 10)


async def test_reload_when_refused_answers_why_and_goes_on(bench: Bench) -> None:
    running = bench.start()
    bench.refusal = ConfigError("no such point")
    bench.supervisor.send("reload", config={})
    assert (await bench.hear("reloaded"))["error"] == "no such point"

    bench.refusal = None
    bench.supervisor.send("reload", config={"policy": {"tag_at": 0.25}})
    assert (await bench.hear("reloaded"))["error"] == ""
    assert [config.policy.tag_at for config in bench.reloaded] == [0.25]

    bench.supervisor.send("drain")
    await running


async def test_background_task_when_it_raises_is_started_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_TASK_PAUSE_SECONDS", 0.0)
    turns = asyncio.Event()
    count = 0

    async def task() -> None:
        nonlocal count
        count += 1
        if count >= 3:
            turns.set()
            await asyncio.Event().wait()
        raise RuntimeError("bug")

    running = bench.start({"task": task})
    await asyncio.wait_for(turns.wait(), 10)
    bench.supervisor.send("drain")

    with contextlib.suppress(asyncio.CancelledError):
        assert await asyncio.wait_for(running, 10)
    assert count == 3

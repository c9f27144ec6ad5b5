"""What an operator does on a busy day, under load: drain, reload, swap a model; and processes that die meanwhile.

Nothing is lost, no 5xx, and no session is cut between its final dot and its reply unless its worker was killed.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from filterd.core.envelope import Channel
from tests.faults.kills import Load
from tests.faults.ledger import Attempt, Told
from tests.faults.rig import Rig, installed
from tests.filterd.tiny_bundle import write_bundle
from tests.servers.gateway import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TIMES = 5


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Two workers that run, patient with a sender and a next hop that share a busy machine with them."""
    with installed(tmp_path_factory.mktemp("busy"), workers=2) as rig:
        text = rig.config.read_text(encoding="utf-8")
        rig.config.write_text(re.sub(r"(timeout_seconds = )[0-9.]+", r"\g<1>20.0", text), encoding="utf-8")
        with rig.running():
            yield rig


@pytest.fixture(autouse=True)
def everything_runs(rig: Rig) -> None:
    """The test before may have ended while something was still coming back."""
    wait_until(lambda: len(rig.scanners()) == 2 and rig.gateway.admin("readyz")[0] == 200, "both workers ready")


def is_cut(attempt: Attempt) -> bool:
    """Whether the sender had said the final dot and heard nothing."""
    return attempt.told is Told.UNCLEAR and not attempt.reply


def since(rig: Rig, start: int) -> Sequence[Attempt]:
    """The attempts from ``start`` on."""
    return rig.sender.attempts[start:]


async def reload(rig: Rig) -> str:
    """SIGHUP, and what came of it: the next test must not take it for its own."""
    gateway = rig.gateway
    done = len(gateway.events("server.reloaded"))
    gateway.signal(signal.SIGHUP)
    await asyncio.to_thread(wait_until, lambda: len(gateway.events("server.reloaded")) > done, "reloaded")
    result: str = gateway.events("server.reloaded")[-1]["result"]
    return result


def test_reload_costs_no_message(rig: Rig) -> None:
    start = len(rig.sender.attempts)

    async def often() -> None:
        async with Load(rig, "reload") as load:
            for _ in range(TIMES):
                await load.acked()
                assert await reload(rig) == "loaded"

    asyncio.run(often())

    assert [attempt for attempt in since(rig, start) if attempt.told is not Told.ACKED] == []
    assert rig.audit().faults() == {}


@pytest.mark.parametrize("times", [TIMES - 1, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])])
def test_model_swap_costs_no_message(rig: Rig, times: int) -> None:
    start = len(rig.sender.attempts)
    names = itertools.cycle(("bundle-other", "bundle-email"))
    write_bundle(rig.root / "bundle-other", Channel.EMAIL, id="other", bias=-1.5)

    async def often() -> None:
        async with Load(rig, f"swap{times}-") as load:
            for _ in range(times):
                await load.acked()
                before, after = f'"{_serving(rig)}"', f'"{rig.root / next(names)}"'
                rig.config.write_text(rig.config.read_text("utf-8").replace(before, after), encoding="utf-8")
                assert await reload(rig) == "loaded"
                await load.acked()

    asyncio.run(often())

    ids = {event["model"] for event in rig.gateway.events("message.judged")}
    assert "other" in ids
    assert len(ids) >= 2
    assert [attempt for attempt in since(rig, start) if attempt.told is not Told.ACKED] == []
    assert rig.audit().faults() == {}


def _serving(rig: Rig) -> str:
    line = next(x for x in rig.config.read_text("utf-8").splitlines() if x.startswith("email = "))
    return line.partition('"')[2].rstrip('"')


def test_scanner_that_dies_costs_no_message(rig: Rig) -> None:
    start = len(rig.sender.attempts)

    async def often() -> None:
        async with Load(rig, "scanner") as load:
            for _ in range(TIMES):
                await load.acked()
                killed = set(rig.scanners())
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)
                await asyncio.to_thread(wait_until, partial(_have_successors, rig, killed), "scanners")

    asyncio.run(often())

    assert [attempt for attempt in since(rig, start) if is_cut(attempt)] == []
    assert rig.audit().faults() == {}


def _have_successors(rig: Rig, killed: set[int]) -> bool:
    """A scanner that dies between two messages is replaced when the next one comes."""
    running = set(rig.scanners())
    return len(running) == 2 and not running & killed


def test_worker_that_dies_loses_no_message(rig: Rig) -> None:
    async def often() -> None:
        async with Load(rig, "worker") as load:
            for turn in range(3):
                await load.acked()
                workers = rig.gateway.workers()
                os.kill(workers[turn % 2], signal.SIGKILL)
                known = set(workers)
                await asyncio.to_thread(wait_until, partial(_has_successor, rig, known), "a new worker")

    asyncio.run(often())

    assert rig.audit().faults() == {}


def _has_successor(rig: Rig, known: set[int]) -> bool:
    running = set(rig.gateway.workers())
    return len(running) == 2 and bool(running - known)


@pytest.mark.parametrize("order", ["fail", "kill"])
def test_reload_that_goes_wrong_loses_no_message(rig: Rig, order: str) -> None:
    async def once() -> None:
        async with Load(rig, f"reload-{order}") as load:
            await load.acked()
            rig.arm("scan.reload", order)
            assert await reload(rig) == "refused"
            assert rig.was_reached("scan.reload")
            await load.acked()
            await asyncio.to_thread(wait_until, lambda: rig.gateway.admin("readyz")[0] == 200, "ready")
            await load.acked()

    asyncio.run(once())

    assert rig.audit().faults() == {}


def test_drain_finishes_what_is_in_flight(tmp_path_factory: pytest.TempPathFactory) -> None:
    with installed(tmp_path_factory.mktemp("drained"), workers=2) as rig:
        asyncio.run(_drain_and_go_on(rig))

        assert [attempt for attempt in rig.sender.attempts if is_cut(attempt)] == []
        assert rig.audit().faults() == {}
        assert [event["abandoned"] for event in rig.gateways[0].events("server.stopped")][:1] == [0]


async def _drain_and_go_on(rig: Rig) -> None:
    """SIGTERM in the middle, and a new daemon for what is left."""
    async with Load(rig) as load:
        for is_last in (False, True):
            running = rig.running()
            gateway = await asyncio.to_thread(running.__enter__)
            await load.acked()
            if is_last:
                await load.finish()
            else:
                gateway.signal(signal.SIGTERM)
                assert await asyncio.to_thread(gateway.process.wait, 60) == 0
            await asyncio.to_thread(running.__exit__, None, None, None)

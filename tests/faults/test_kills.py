"""SIGKILL at random moments under load: 200 times here, 10,000 with ``make kills``."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.faults.kills import Load, check_integrity, play
from tests.faults.rig import Rig, installed
from tests.servers import postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("name", ["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def test_worker_killed_a_hundred_times_loses_no_acknowledged_message(name: str) -> None:
    if name == "postgresql" and postgres.find_programs() is None and not os.environ.get("CI"):
        pytest.skip("no PostgreSQL on this machine")
    seed = random.SystemRandom().randrange(1 << 32)
    done = play(name, 100, seed)

    assert done.faults == {}, f"seed {seed}"
    assert done.audits["mail"].counts["unclear"] > 0, "no kill met a message after its final dot"
    assert done.audits["mail"].counts["acked"] >= 100


def test_daemon_killed_as_a_whole_loses_no_acknowledged_message(tmp_path: Path) -> None:
    with installed(tmp_path, workers=2) as rig:
        asyncio.run(_kill_daemons(rig, 2))
        check_integrity(tmp_path / "state/filterd.db")
        found = rig.audit()

    assert found.faults() == {}
    assert found.counts["deferred"] + found.counts["unclear"] > 0


async def _kill_daemons(rig: Rig, times: int) -> None:
    """Supervisor, workers and scanners, under load; the last daemon takes what is left."""
    async with AsyncExitStack() as stack:
        load = await stack.enter_async_context(Load(rig))
        for _ in range(times):
            gateway = await asyncio.to_thread(stack.enter_context, rig.running())
            await load.acked()
            await asyncio.sleep(random.uniform(0, 0.5))
            for pid in (*gateway.workers(), gateway.process.pid):
                os.kill(pid, signal.SIGKILL)
        last = rig.running()
        await asyncio.to_thread(last.__enter__)
        stack.push(last)
        await load.finish()

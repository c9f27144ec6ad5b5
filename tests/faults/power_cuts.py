"""Power cuts under load, and the books afterwards.

    python -m tests.faults.power_cuts 1000              SQLite and PostgreSQL by turns, in rounds of 100; as root
    python -m tests.faults.power_cuts 100 --store sqlite

The state folder, or instead of it the data folder of PostgreSQL, is on a disk of its own (``disk.py``); the next hop,
the customer, the senders and the provider are other machines, which the cut does not reach. Ten senders of mail and two
of SMS repeat each message until it is taken. The power is cut at a moment drawn at random, one time in ten while the
machine starts; the processes on it are stopped a moment before and killed after. Then the disk is mounted again, and
database and worker start on what is left. Where there is PostgreSQL, every other cut is of the database's machine
alone, and the worker lives on. As in ``kills.py`` the workers are made by fork.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from filterd.demo.customer import CustomerUrl
from tests.faults import texts
from tests.faults.disk import Disk, disk
from tests.faults.forked import forking
from tests.faults.kills import Load, Round, check_integrity, run
from tests.faults.ledger import Nature, Told
from tests.faults.rig import Rig, installed
from tests.servers import postgres

ROUND = 100
"""Cuts of one disk: each begins with an empty one."""
LONGEST_LIFE_SECONDS = 1.0
"""Longest time between a worker's first answer and the cut; less than the five seconds of ext4's own flushing."""
LONGEST_START_SECONDS = 0.5
_EARLY = 0.1
_CALLERS = 2
_PAUSE_SECONDS = 0.05
_PATIENCE_SECONDS = 120.0
_PG_SETTINGS = (
    "max_wal_size=64MB",
    "min_wal_size=32MB",
    "dynamic_shared_memory_type=mmap",
    "recovery_init_sync_method=syncfs",
)
"""Small files for a small disk, shared memory that would outlive a killed server among them. Before PostgreSQL recovers
it flushes the file system as a whole, instead of a thousand files one by one, which takes seconds."""


class Filter(Protocol):
    """What filters on the machine: a worker made by fork, or the whole daemon."""

    def start(self) -> object:
        """Start it; it may not be ready yet."""
        ...

    def freeze(self) -> object:
        """Stop all of it where it is."""
        ...

    def kill(self) -> object:
        """Kill all of it, and wait for its end."""
        ...


@dataclass(slots=True, kw_only=True)
class Machine:
    """What the cut reaches."""

    disk: Disk
    filter: Filter
    server: postgres.Server | None = None
    _is_filtering: bool = False

    def switch_on(self) -> None:
        """Mount the disk and begin to start the database."""
        self.disk.attach()
        if self.server is not None:
            self.server.start()

    def serve(self) -> None:
        """Wait for the database; start what filters, unless it has lived on."""
        if self.server is not None:
            self.server.wait()
        if not self._is_filtering:
            self.filter.start()
            self._is_filtering = True

    def cut(self) -> None:
        """Cut the power of all of it."""
        if self._is_filtering:
            self.filter.freeze()
        self._cut_disk()
        if self._is_filtering:
            self.filter.kill()
            self._is_filtering = False
        self.disk.detach()

    def cut_database(self) -> None:
        """Cut the power of the database's machine; what filters is on another one."""
        self._cut_disk()
        self.disk.detach()

    def _cut_disk(self) -> None:
        # Nobody speaks after a power cut. Here a flush that is under way can end as a success although its entry in
        # the journal was dropped, so whoever waits for it must not hear of that.
        if self.server is not None:
            self.server.freeze()
        self.disk.cut()
        if self.server is not None:
            self.server.kill()


async def cut_often(rig: Rig, machine: Machine, provider: texts.Provider, cuts: int, chance: random.Random) -> None:
    """Cut the power so many times while messages come; then let what is on its way arrive."""
    async with Load(rig) as load, calling(provider):
        for number in range(cuts):
            # The first one finds an empty disk.
            is_early = not number or chance.random() < _EARLY
            await asyncio.to_thread(machine.switch_on)
            if not is_early or machine.server is None or chance.random() < 0.5:
                await asyncio.to_thread(machine.serve)
            if not is_early:
                await load.acked()
            await asyncio.sleep(chance.uniform(0, LONGEST_START_SECONDS if is_early else LONGEST_LIFE_SECONDS))
            is_whole = machine.server is None or chance.random() < 0.5
            await asyncio.to_thread(machine.cut if is_whole else machine.cut_database)
        await asyncio.to_thread(machine.switch_on)
        await asyncio.to_thread(machine.serve)


@asynccontextmanager
async def calling(provider: texts.Provider) -> AsyncIterator[None]:
    """SMS that do not rest; at the end each is repeated until it is taken."""
    numbers, is_over = itertools.count(), asyncio.Event()

    async def call() -> None:
        while not is_over.is_set():
            number = next(numbers)
            nature = Nature.SPAM if number % 2 else Nature.HAM
            told = None
            while told is not Told.ACKED:
                told = await asyncio.to_thread(provider.call, f"t{number}", nature)
                await asyncio.sleep(_PAUSE_SECONDS)

    tasks = [asyncio.create_task(call()) for _ in range(_CALLERS)]
    try:
        yield
    except BaseException:
        for task in tasks:
            task.cancel()
        raise
    is_over.set()
    async with asyncio.timeout(_PATIENCE_SECONDS):
        await asyncio.gather(*tasks)


@contextmanager
def server_on(on: Disk, name: str) -> Iterator[postgres.Server | None]:
    """The database's server, with its data on the disk; none where it is SQLite."""
    if name == "sqlite":
        yield None
        return
    programs = postgres.find_programs()
    assert programs is not None, "no PostgreSQL on this machine"
    with tempfile.TemporaryDirectory(prefix="filterd-pg-") as folder:
        server = postgres.Server(
            programs=programs, folder=Path(folder), data=on.folder / "database", settings=_PG_SETTINGS
        )
        server.create()
        try:
            yield server
        finally:
            server.stop()


def play(name: str, cuts: int, seed: int, make: Callable[[Rig], AbstractContextManager[Filter]] = forking) -> Round:
    """One disk, the cuts of its power, the books; ``make`` says what filters."""
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="filterd-cuts-") as folder,
        CustomerUrl() as customer,
        disk() as on,
        server_on(on, name) as server,
        installed(
            Path(folder),
            state=on.folder / "state" if name == "sqlite" else None,
            extra=texts.settings(customer),
            url=server.url if server else "",
        ) as rig,
        make(rig) as filter_,
    ):
        on.detach()
        machine = Machine(disk=on, filter=filter_, server=server)
        provider = texts.Provider(port=rig.ports.http)
        asyncio.run(cut_often(rig, machine, provider, cuts, random.Random(seed)))
        filter_.kill()
        seconds = time.monotonic() - started
        audits = {"mail": rig.audit(), "SMS": texts.books(rig, provider, customer)}
        if server is None:
            check_integrity(on.folder / "state/filterd.db")
        return Round(times=cuts, seconds=seconds, audits=audits)


if __name__ == "__main__":
    sys.exit(run(play, "cuts", most=ROUND))

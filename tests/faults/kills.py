"""Random SIGKILL under load, and the books afterwards.

    python -m tests.faults.kills 10000              SQLite and PostgreSQL by turns, in rounds of 500
    python -m tests.faults.kills 100 --store sqlite

Ten senders send one message after the other and repeat each until it is taken. The worker is killed at a moment drawn
at random, one time in ten while it starts, and the next one is made by fork (``forked.py``).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.faults.forked import Forks, forking
from tests.faults.ledger import Audit, Nature
from tests.faults.letters import Letter
from tests.faults.rig import Rig, installed
from tests.servers import postgres

SENDERS = 10
ROUND = 500
LONGEST_LIFE_SECONDS = 0.3
"""Longest time between a worker's first answer and its end."""
_LARGE = 100_000
_MANY = 100_000
"""Attempts; patience ends before."""
_PATIENCE_SECONDS = 120.0
_LAST_TOLD = 30
_LAST_LOGGED = 6000


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What came of one installation."""

    times: int
    seconds: float
    audits: Mapping[str, Audit]
    """Of mail, and of SMS if there were any."""

    @property
    def per_minute(self) -> float:
        """Kills a minute, or whatever befell it."""
        return self.times / self.seconds * 60

    @property
    def faults(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """What does not add up; empty where all does."""
        return {name: audit.faults() for name, audit in self.audits.items() if not audit.is_clean}

    def __str__(self) -> str:
        counts = (
            f"{name}: {', '.join(f'{count} {what}' for what, count in audit.counts.items())}"
            for name, audit in self.audits.items()
        )
        return f"{self.per_minute:.0f} a minute; {'; '.join(counts)}; faults: {self.faults or 'none'}"


Play = Callable[[str, int, int], Round]
"""One installation: the database's name, how often, the seed."""


class Load:
    """Senders that do not rest."""

    def __init__(self, rig: Rig, name: str = "m") -> None:
        self._rig = rig
        self._name = name
        self._numbers = itertools.count()
        self._is_over = False
        self._acked = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._send()) for _ in range(SENDERS)]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_exc: object) -> None:
        if kind is None:
            await self.finish()
            return
        # What failed is to be seen, not that nothing can be sent since.
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def finish(self) -> None:
        """Let every sender bring its last message to its end."""
        self._is_over = True
        async with self._patience():
            await asyncio.gather(*self._tasks)

    async def acked(self) -> None:
        """Wait for the next acknowledgement."""
        self._acked.clear()
        async with self._patience():
            await self._acked.wait()

    @contextlib.asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        """Time for what must come. Fails with what was said last: the installation is gone when the test has ended."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                yield
        except TimeoutError as exc:
            told = "\n".join(f"{x.token} {x.told.value}: {x.reply}" for x in self._rig.sender.attempts[-_LAST_TOLD:])
            log = (self._rig.root / "log").read_text(encoding="utf-8", errors="replace")[-_LAST_LOGGED:]
            raise AssertionError(f"nothing came in {_PATIENCE_SECONDS:.0f} s; told\n{told}\nlogged\n{log}") from exc

    async def _send(self) -> None:
        while not self._is_over:
            number = next(self._numbers)
            nature = Nature.SPAM if number % 2 else Nature.HAM
            letter = Letter(token=f"{self._name}{number}", nature=nature, size=0 if number % 20 else _LARGE)
            await self._rig.sender.deliver(letter, tries=_MANY, pause_seconds=0.05)
            self._acked.set()


async def kill_often(rig: Rig, forks: Forks, kills: int, chance: random.Random) -> None:
    """Kill the worker so many times while messages come; then let what is on its way arrive."""
    await asyncio.to_thread(forks.start)
    async with Load(rig) as load:
        for _ in range(kills):
            if chance.random() < 0.1:
                await asyncio.sleep(chance.uniform(0, 0.2))
            else:
                await load.acked()
                await asyncio.sleep(chance.uniform(0, LONGEST_LIFE_SECONDS))
            await asyncio.to_thread(forks.kill)
            await asyncio.to_thread(forks.start)


def play(name: str, kills: int, seed: int) -> Round:
    """One installation, its kills, its books."""
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="filterd-kills-") as folder,
        database(name) as url,
        installed(Path(folder), url=url) as rig,
    ):
        with forking(rig) as forks:
            asyncio.run(kill_often(rig, forks, kills, random.Random(seed)))
        seconds = time.monotonic() - started
        if not url:
            check_integrity(rig.root / "state/filterd.db")
        return Round(times=kills, seconds=seconds, audits={"mail": rig.audit()})


def check_integrity(path: Path) -> None:
    """Fails when SQLite finds its file damaged."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@contextlib.contextmanager
def database(name: str) -> Iterator[str]:
    """The URL of an empty database; empty for SQLite, which needs none."""
    if name == "sqlite":
        yield ""
        return
    programs = postgres.find_programs()
    assert programs is not None, "no PostgreSQL on this machine"
    with postgres.running(programs) as url:
        yield url


def run(play: Play, what: str, *, most: int) -> int:
    """Play as often as the command line says, at most so often on one installation; 1 if the books are wrong."""
    parser = argparse.ArgumentParser()
    parser.add_argument("times", type=int, metavar=what)
    parser.add_argument("--store", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    # Told to end, it ends what it started and unmounts what it mounted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    names = itertools.cycle(("sqlite", "postgresql") if options.store == "both" else (options.store,))
    rest, is_clean = options.times, True
    most = min(most, max(rest // 2, 1) if options.store == "both" else rest)
    while rest > 0:
        times, name = min(rest, most), next(names)
        done = play(name, times, seed + rest)
        rest -= times
        is_clean = is_clean and not done.faults
        sys.stdout.write(f"{name}: {times} {what}, seed {seed}: {done}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{options.times} {what}: {'nothing lost, nothing invented' if is_clean else 'NOT CLEAN'}\n")
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(run(play, "kills", most=ROUND))

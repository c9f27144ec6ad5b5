"""Worker processes made by forking one that has imported everything: a start takes a twentieth of a second.

What runs is ``filterd.worker`` with the parts that ``bootstrap`` builds: edges, pipeline, relay, store, web. Two things
are not the daemon's: there is no supervisor, whose part (holding the sockets, starting the next worker) is played by
the process that forks; and no scanner processes, because onnxruntime does not survive a fork: a list of one word
scores. The real daemon is killed in ``test_kills.py``, less often.

    python -m tests.faults.forked CONFIG    then one command per line: start, kill, drain, wait
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

# Imported late by what uses them: a fork should find them there.
import aiosqlite as _aiosqlite  # noqa: F401
import alembic.command as _alembic  # noqa: F401
import anyio._backends._asyncio as _anyio  # noqa: F401
import asyncpg as _asyncpg  # type: ignore[import-untyped]  # noqa: F401  # it ships none
import httpcore2 as _httpcore2  # noqa: F401
import pydantic.v1 as _pydantic  # noqa: F401
import uvloop

from filterd import bootstrap, failpoints, worker
from filterd import config as configuration
from filterd.core.envelope import Channel
from filterd.listeners import bind_all
from filterd.testing import FakeScanner
from filterd.web import app as _app  # noqa: F401
from tests.faults import bad_disk
from tests.faults.rig import Rig
from tests.servers import processes

_DISK = "FILTERD_TEST_DISK"
"""Set where the worker's disk may be told to fail."""


class WordScanner(FakeScanner):
    """Stands where ``ScannerPool`` does."""

    def __init__(self, **_parts: Any) -> None:
        super().__init__(marker=b"lottery")
        self.models: Mapping[Channel, str] = dict.fromkeys(Channel, "word")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Nothing to end."""

    async def reload(self) -> None:
        """There is nothing else to serve."""


class Nursery:
    """The process that forks."""

    def __init__(self, path: Path) -> None:
        self._loaded = configuration.load(path, {})
        self._listeners = [each for each in bind_all(self._loaded.config) if each.edge != "admin"]
        self._pid = 0
        self._control: socket.socket | None = None

    def obey(self, command: str) -> str:
        """Carry out one command; what to answer."""
        if command == "start":
            self._start()
        elif command == "kill":
            os.kill(self._pid, signal.SIGKILL)
        elif command == "drain":
            self._say(kind="drain")
        if command in ("kill", "wait"):
            _, status = os.waitpid(self._pid, 0)
            return str(os.waitstatus_to_exitcode(status))
        return str(self._pid)

    def _say(self, **words: Any) -> None:
        assert self._control is not None
        self._control.sendall(json.dumps(words).encode() + b"\n")

    def _start(self) -> None:
        if self._control is not None:
            self._control.close()
        self._control, theirs = socket.socketpair()
        about, here = socket.socketpair()
        self._pid = os.fork()
        if not self._pid:
            self._control.close()
            failpoints.arm(os.environ)
            if os.environ.get(_DISK):
                bad_disk.submit(about)
            code = 1
            with contextlib.suppress(KeyboardInterrupt):
                code = uvloop.run(worker.serve([theirs.detach(), *(each.socket.fileno() for each in self._listeners)]))
            os._exit(code)
        theirs.close()
        if os.environ.get(_DISK):
            bad_disk.decide(here, Path(os.environ[failpoints.VARIABLE]))
        about.close()
        here.close()
        edges = [each.edge for each in self._listeners]
        self._say(kind="start", worker="w0", environ=dict(os.environ), config=self._loaded.tree, edges=edges)


class Forks:
    """The other side: what a test holds."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._pid = 0

    def listen(self) -> None:
        """Wait until clients find a listening port."""
        self._ask("listen")

    def start(self) -> int:
        """A new worker; its pid."""
        self._pid = self._ask("start")
        return self._pid

    def freeze(self) -> None:
        """Stop the worker where it is."""
        processes.freeze(self._pid)

    def kill(self) -> int:
        """Kill the worker with SIGKILL; its exit code, once it has gone."""
        return self._ask("kill")

    def drain(self) -> int:
        """Tell the worker to finish what is in flight and end."""
        return self._ask("drain")

    def wait(self) -> int:
        """Wait for the worker to end by itself; its exit code."""
        return self._ask("wait")

    def _ask(self, command: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextlib.contextmanager
def forking(rig: Rig, *, has_bad_disk: bool = False) -> Iterator[Forks]:
    """Forks workers of the installation; none runs yet. ``has_bad_disk``: their disk obeys ``bad_disk``."""
    metrics = rig.root / "metrics"
    metrics.mkdir(exist_ok=True)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("FILTERD_")}
    environ |= {failpoints.VARIABLE: str(rig.failpoints), "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
    environ |= {_DISK: "yes"} if has_bad_disk else {}
    with (rig.root / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forked", str(rig.config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environ,
            text=True,
        )
    forks = Forks(process)
    try:
        forks.listen()
        yield forks
    finally:
        # Its end is the end of the worker's control connection, and so of the worker.
        process.kill()
        process.communicate()


def main() -> None:
    """Obey until standard input ends."""
    vars(bootstrap)["ScannerPool"] = WordScanner
    nursery = Nursery(Path(sys.argv[1]))
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        sys.stdout.write(nursery.obey(line.strip()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

"""The supervisor's view of one worker: its process, its control connection, what it last reported."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filterd.control import Control
from filterd.forking import WORKER, Started, Zygote, started
from filterd.listeners import Listener

FIRST_WORKER = "w0"
"""The one that also does what must be done once per host."""
_METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class WorkerProcess:
    """A worker with a name that stays the same over restarts."""

    def __init__(
        self,
        *,
        name: str,
        listeners: Sequence[Listener],
        metrics_folder: Path,
        environ: Mapping[str, str],
        zygote: Zygote | None = None,
    ) -> None:
        """Forked from ``zygote`` where there is one."""
        self.name = name
        self.failure = ""
        """Why it gave up, in one line."""
        self.abandoned = 0
        self._listeners = [each for each in listeners if each.edge != "admin"]
        self._environ = {**environ, _METRICS_VARIABLE: str(metrics_folder)}
        self._zygote = zygote
        self._process: Started | None = None
        self._control: Control | None = None
        self._report: dict[str, Any] = {}
        self._heard = 0.0
        self._reloaded: asyncio.Future[str] | None = None
        self._is_draining = False

    @property
    def is_listening(self) -> bool:
        """Whether it accepts messages."""
        return bool(self._report.get("listening"))

    def missing(self) -> list[str]:
        """What keeps it from being ready."""
        if self._process is None or not self._report:
            return [f"worker {self.name}: not started"]
        return [f"worker {self.name}: {part}" for part, is_up in self._report.items() if not is_up]

    def silent_seconds(self) -> float:
        """Seconds since it last reported; 0 while it does not run."""
        return time.monotonic() - self._heard if self._process else 0.0

    async def run(self, tree: Mapping[str, Any], on_report: Callable[[], None]) -> int:
        """Start it, listen to it, and return its exit code once it has gone."""
        ours, theirs = socket.socketpair()
        self.failure, self._report, self._heard = "", {}, time.monotonic()
        with theirs:
            own = {_METRICS_VARIABLE: self._environ[_METRICS_VARIABLE]}
            files = [theirs.fileno(), *(each.socket.fileno() for each in self._listeners)]
            self._process = process = await started(WORKER, "filterd.worker", files, self._zygote, environ=own)
        self._control = await Control.over(ours)
        edges = [each.edge for each in self._listeners]
        self._control.send("start", worker=self.name, environ=self._environ, config=tree, edges=edges)
        if self._is_draining:
            self._control.send("drain")
        try:
            await self._listen(self._control, on_report)
            return await asyncio.to_thread(process.wait)
        finally:
            self.kill()
            await asyncio.to_thread(process.wait)
            self._process, self._report = None, {}
            self._finish_reload("the worker died")
            await self._control.close()
            on_report()

    def drain(self) -> None:
        """Ask it to finish what is in flight and exit."""
        self._is_draining = True
        if self._control:
            self._control.send("drain")

    def kill(self) -> None:
        """End it and its scanners now."""
        if self._process:
            self._process.kill()

    async def reload(self, tree: Mapping[str, Any], seconds: float) -> str:
        """Empty when it took the new configuration, else why not."""
        if self._control is None or self._process is None:
            return ""
        self._reloaded = asyncio.get_running_loop().create_future()
        self._control.send("reload", config=tree)
        try:
            return await asyncio.wait_for(self._reloaded, seconds)
        except TimeoutError:
            return f"worker {self.name} did not answer"

    async def _listen(self, control: Control, on_report: Callable[[], None]) -> None:
        while said := await control.receive():
            self._heard = time.monotonic()
            if said["kind"] == "report":
                if said["up"] != self._report:
                    self._report = said["up"]
                    on_report()
            elif said["kind"] == "reloaded":
                self._finish_reload(said["error"])
            elif said["kind"] == "failed":
                self.failure = said["detail"]
            elif said["kind"] == "stopped":
                self.abandoned = said["abandoned"]

    def _finish_reload(self, error: str) -> None:
        if self._reloaded and not self._reloaded.done():
            self._reloaded.set_result(error)

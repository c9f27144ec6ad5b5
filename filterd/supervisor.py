"""The parent process: owns signals and listening sockets, keeps the workers alive, serves the admin port.

It never looks at a message. SIGTERM and SIGINT drain, a second one stops at once; SIGHUP reads policy and models
again. Workers are never forked from this process, which holds sockets and secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from filterd import __version__
from filterd.admin import forget_worker
from filterd.config import Loaded, restart_needed, with_reloaded
from filterd.errors import ConfigError
from filterd.listeners import Listener
from filterd.log import Events
from filterd.metrics import SupervisorMetrics
from filterd.notify import Notifier
from filterd.worker_process import WorkerProcess

EXIT_CRASH_LOOP = 1
EXIT_CONFIG = 78
"""EX_CONFIG of sysexits.h: systemd's RestartPreventExitStatus can name it."""
CRASHES_ALLOWED = 5
CRASH_WINDOW_SECONDS = 60.0
SILENCE_SECONDS = 30.0
"""A worker that reports nothing for so long is stuck and is killed."""
_FIRST_DELAY_SECONDS = 0.1
_KILL_AFTER_DRAIN_SECONDS = 3.0
_RELOAD_SECONDS = 60.0
_PULSE_SECONDS = 2.0


class Supervisor:
    """Runs until it is told to stop, or until going on makes no sense."""

    def __init__(
        self,
        *,
        loaded: Loaded,
        reread: Callable[[], Loaded],
        workers: Sequence[WorkerProcess],
        listeners: Sequence[Listener],
        metrics: SupervisorMetrics,
        metrics_folder: Path,
        events: Events,
        notify: Notifier,
        has_zygote: Callable[[], bool] = lambda: True,
    ) -> None:
        """``has_zygote`` says whether there is still a process to fork workers from."""
        self._loaded = loaded
        self._reread = reread
        self._workers = workers
        self._listeners = listeners
        self._metrics = metrics
        self._metrics_folder = metrics_folder
        self._events = events
        self._notify = notify
        self._stopping = asyncio.Event()
        self._reload_wanted = asyncio.Event()
        self._has_zygote = has_zygote
        self._is_zygote_missed = False
        self._is_started = False
        self._exit_code = 0
        self.failure = ""
        """Why it gave up, in one line; empty while it was told to stop."""

    async def run(self) -> int:
        """The exit code, once every worker has gone."""
        with self._signals():
            keepers = [asyncio.create_task(self._keep(worker)) for worker in self._workers]
            background = [asyncio.create_task(task) for task in (self._reload_loop(), self._pulse())]
            try:
                await asyncio.gather(*keepers)
            finally:
                for task in (*background, *keepers):
                    task.cancel()
                await asyncio.gather(*background, *keepers, return_exceptions=True)
                for worker in self._workers:
                    worker.kill()
        self._events.stopped(sum(worker.abandoned for worker in self._workers))
        return self._exit_code

    def status(self) -> Mapping[str, Any]:
        """What ``/readyz`` says."""
        missing = [text for worker in self._workers for text in worker.missing()]
        if self._stopping.is_set():
            missing.append("stopping")
        return {
            "ready": not missing,
            "missing": missing,
            "version": __version__,
            "workers": len(self._workers),
            "listening": [{"edge": each.edge, "address": each.address} for each in self._listeners],
        }

    def stop(self, why: str) -> None:
        """Drain; asked a second time, stop at once."""
        if self._stopping.is_set():
            for worker in self._workers:
                worker.kill()
            return
        self._stopping.set()
        self._events.stopping(why)
        self._notify("STOPPING=1", f"STATUS=Draining: {why}")
        for listener in self._listeners:
            if listener.edge != "admin":
                listener.socket.close()
        limit = self._loaded.config.server.drain_timeout_seconds + _KILL_AFTER_DRAIN_SECONDS
        loop = asyncio.get_running_loop()
        for worker in self._workers:
            worker.drain()
            loop.call_later(limit, worker.kill)

    @contextlib.contextmanager
    def _signals(self) -> Any:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, signal.Signals(number).name)
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    async def _keep(self, worker: WorkerProcess) -> None:
        """Start ``worker`` again and again until the daemon stops."""
        crashes: list[float] = []
        while not self._stopping.is_set():
            code = await worker.run(self._loaded.tree, self._on_report)
            forget_worker(self._metrics_folder, worker.name)
            if self._stopping.is_set():
                return
            if code == EXIT_CONFIG:
                self._give_up(EXIT_CONFIG, worker.failure or "a worker refused the configuration")
                return
            now = time.monotonic()
            crashes = [*(at for at in crashes if now - at < CRASH_WINDOW_SECONDS), now]
            if len(crashes) >= CRASHES_ALLOWED:
                why = f", last of: {worker.failure}" if worker.failure else ""
                self._give_up(EXIT_CRASH_LOOP, f"worker {worker.name} died {len(crashes)} times in a minute{why}")
                return
            delay = _FIRST_DELAY_SECONDS * 2 ** (len(crashes) - 1)
            self._metrics.restarts.inc()
            self._events.worker_exited(worker.name, code, delay)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay)

    def _give_up(self, code: int, why: str) -> None:
        if not self.failure:
            self._exit_code, self.failure = code, why
        if not self._stopping.is_set():
            self.stop(why)

    def _on_report(self) -> None:
        status = self.status()
        self._metrics.workers.set(sum(not worker.missing() for worker in self._workers))
        if not self._is_started and all(worker.is_listening for worker in self._workers):
            self._is_started = True
            self._events.started(__version__, len(self._workers), str(self._loaded.path or "defaults"))
            self._notify("READY=1")
        self._notify("STATUS=Ready" if status["ready"] else f"STATUS=Degraded: {', '.join(status['missing'])}")

    async def _pulse(self) -> None:
        """Kill workers that are stuck, and tell systemd that the rest are well."""
        seconds = min(_PULSE_SECONDS, self._notify.watchdog_seconds / 3 or _PULSE_SECONDS)
        while True:
            await asyncio.sleep(seconds)
            for worker in self._workers:
                if worker.silent_seconds() > SILENCE_SECONDS:
                    worker.kill()
            if not self._is_zygote_missed and not self._has_zygote():
                self._is_zygote_missed = True
                self._events.zygote_lost()
            self._notify("WATCHDOG=1")

    async def _reload_loop(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            self._notify("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
            result, detail = await self._reload()
            self._metrics.reloads.labels(result).inc()
            self._events.reloaded(result, detail)
            self._notify("READY=1", f"STATUS=Reload {result}")

    async def _reload(self) -> tuple[str, str]:
        """``loaded`` or ``refused``, and why."""
        try:
            found = self._reread()
            loaded = with_reloaded(self._loaded, found)
        except ConfigError as exc:
            return "refused", exc.detail
        needed = restart_needed(self._loaded, found)
        results = await asyncio.gather(*(worker.reload(loaded.tree, _RELOAD_SECONDS) for worker in self._workers))
        refusals = sorted({detail for detail in results if detail})
        if refusals:
            return "refused", "; ".join(refusals)
        self._loaded = loaded
        return "loaded", f"restart needed for: {', '.join(needed)}" if needed else ""

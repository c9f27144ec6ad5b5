"""Asks the zygote for processes: a fork of one that has imported everything, in place of a fresh start.

The zygote (``filterd.zygote``) is asked over a socket that keeps messages apart; with a request goes one end of a line,
over which it says the pid, hands out a descriptor of the process (pidfd_open(2)), and at the end says the exit code.
Whoever cannot have a fork starts a fresh process: nothing depends on the zygote but speed and memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

WORKER, SCANNER, ZYGOTE = "worker", "scanner", "zygote"
"""What the zygote can become."""
GO = b"go"
"""Said to a fork once it is known: what nobody knows of must not use the files it was given."""
PATIENCE_SECONDS = 30.0
"""For a zygote that still imports."""
LOST = -1
"""The exit code of a process whose zygote went before it, or has not said yet what it was."""
_CODE_SECONDS = 10.0
"""How long ``wait`` waits for a zygote that is slow to say how a process ended."""
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
_SHARED_METRICS = {"PROMETHEUS_MULTIPROC_DIR": os.devnull}
"""prometheus-client looks when it is imported whether several processes share the metrics. Where they are kept it asks
with the first metric, which no zygote has."""
_MOST_BYTES = 64


def environment() -> dict[str, str]:
    """No secrets: only what Python needs to find the same modules, and one thread for arithmetic."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OPENBLAS_NUM_THREADS": "1"}


def show_as(program: str) -> None:
    """Name this process in the kernel's list (proc(5), comm): what is forked has the zygote's command line."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(f"filterd-{program}", encoding="ascii")


class Forked:
    """A process that the zygote made; the part of ``subprocess.Popen`` that is used of one."""

    def __init__(self, pid: int, descriptor: int, line: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._descriptor = descriptor
        self._line = line
        self._finishing = threading.Lock()
        """Whoever waits does so in a thread: the descriptor must not be closed twice, nor asked after that."""

    def poll(self) -> int | None:
        """The exit code; None while it runs. Never blocks."""
        if self.returncode is None and self._has_ended(0):
            self._finish(0)
        return self.returncode

    def wait(self) -> int:
        """The exit code, once it has ended."""
        while self.returncode is None:
            if self._has_ended(None):
                self._finish(_CODE_SECONDS)
        return self.returncode

    def kill(self) -> None:
        """End it now, whatever it does."""
        with self._finishing:
            if self.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def _has_ended(self, milliseconds: int | None) -> bool:
        watch = select.poll()
        watch.register(self._descriptor, select.POLLIN)
        return bool(watch.poll(milliseconds))

    def _finish(self, seconds: float) -> None:
        with self._finishing:
            if self.returncode is not None:
                return
            self._line.settimeout(seconds)
            try:
                said = self._line.recv(_MOST_BYTES)
            except OSError:
                said = b""
            self.returncode = int(said) if said else LOST
            self._line.close()
            os.close(self._descriptor)


class Zygote:
    """The socket over which it is asked; one request at a time is under way for each thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def fork(self, program: str, files: Sequence[int]) -> Forked:
        """A process that runs ``program`` with copies of ``files``, in this order. Blocks. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                socket.send_fds(self._socket, [program.encode()], [theirs.fileno(), *files])
            ours.settimeout(PATIENCE_SECONDS)
            said, (descriptor, *_), _, _ = _received(ours)
            ours.send(GO)
        except BaseException:
            ours.close()
            raise
        return Forked(int(said), descriptor, ours)

    @property
    def is_there(self) -> bool:
        """Whether it lives, as far as its socket tells."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def close(self) -> None:
        """Ask for nothing any more; what was forked lives on."""
        self._socket.close()


def _received(line: socket.socket) -> tuple[bytes, list[int], int, object]:
    """The first thing said on a line. Raises OSError where there is no process."""
    said = socket.recv_fds(line, _MOST_BYTES, 1)
    if not said[1]:
        raise ConnectionError("the zygote makes no process")
    return said


Started = subprocess.Popen[bytes] | Forked
"""A process, made in either way."""


async def started(
    program: str,
    module: str,
    files: Sequence[int],
    forks: Zygote | None,
    *,
    environ: Mapping[str, str] | None = None,
    output: int | None = None,
) -> Started:
    """A fork that runs ``program``, or where there can be none ``module`` afresh. Raises OSError.

    ``environ`` and ``output`` (of both kinds) are for the latter: a fork has what its program gives it.
    """
    if forks is not None:
        with contextlib.suppress(OSError):
            return await asyncio.to_thread(forks.fork, program, files)
    return _afresh(module, files, environ, output)


def _afresh(
    module: str, files: Sequence[int], environ: Mapping[str, str] | None = None, output: int | None = None
) -> subprocess.Popen[bytes]:
    """A session of its own: a Ctrl-C at the terminal reaches the supervisor only."""
    return subprocess.Popen(  # noqa: S603  # our own interpreter
        [sys.executable, "-P", "-m", module, *map(str, files)],
        env={**environment(), **(environ or {})},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=files,
        start_new_session=True,
    )


@contextlib.contextmanager
def zygote() -> Iterator[Zygote]:
    """A zygote until the end of the block; it imports while its first request waits."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = _afresh("filterd.zygote", [theirs.fileno()], _SHARED_METRICS)
    client = Zygote(ours)
    try:
        yield client
    finally:
        client.close()
        process.kill()  # it may still be importing, and holds nothing
        process.wait()

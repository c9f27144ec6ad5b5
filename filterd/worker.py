"""The program of one worker process, started by the supervisor only.

``python -P -m filterd.worker CONTROL SOCKET...``, where its arguments are descriptors, or the same as a fork of the
zygote.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import NoReturn

import uvloop

from filterd import bootstrap, failpoints, log
from filterd.config import from_tree
from filterd.control import Control
from filterd.errors import ConfigError, FilterdError
from filterd.forking import WORKER, Zygote, show_as
from filterd.metrics import use_stable_identity
from filterd.server import Server
from filterd.supervisor import EXIT_CONFIG
from filterd.worker_process import FIRST_WORKER

EXIT_BROKEN = 70
"""EX_SOFTWARE of sysexits.h: the supervisor starts another one."""


def main() -> None:
    """Run on the descriptors that the arguments name."""
    run([int(argument) for argument in sys.argv[1:]])


def run(files: Sequence[int], zygote: Zygote | None = None) -> NoReturn:
    """Run until told to drain. ``files`` are the control connection and the sockets that the order lists."""
    show_as(WORKER)
    sys.exit(uvloop.run(serve(files, zygote)))


async def serve(files: Sequence[int], zygote: Zygote | None = None) -> int:
    """The exit code, after the drain."""
    control = await Control.over(socket.socket(fileno=files[0]))
    order = await control.receive()
    if order is None:
        return 0
    os.environ.clear()
    os.environ.update(order["environ"])
    failpoints.arm(os.environ)
    use_stable_identity(order["worker"])
    try:
        config = from_tree(order["config"])
        log.configure(config.server.log_format, config.server.log_level, worker=order["worker"])
        async with AsyncExitStack() as stack:
            has_chores = order["worker"] == FIRST_WORKER
            parts = await bootstrap.build_worker(config, stack, has_chores=has_chores, zygote=zygote)
            server = Server(parts=parts, control=control, drain_seconds=config.server.drain_timeout_seconds)
            return 0 if await server.run(_sockets(order["edges"], files[1:])) else EXIT_BROKEN
    except FilterdError as exc:
        control.send("failed", detail=exc.detail)
        # Only what the operator must mend ends the daemon; after anything else another start may go well.
        return EXIT_CONFIG if isinstance(exc, ConfigError) else EXIT_BROKEN
    finally:
        await control.close()


def _sockets(edges: Sequence[str], files: Sequence[int]) -> Mapping[str, list[socket.socket]]:
    """The listening sockets by the names of their edges."""
    sockets: dict[str, list[socket.socket]] = {}
    for edge, file in zip(edges, files, strict=True):
        sock = socket.socket(fileno=file)
        sock.setblocking(False)
        sockets.setdefault(edge, []).append(sock)
    return sockets


if __name__ == "__main__":
    main()

"""The program of one worker process: ``python -m filterd.worker``, started by the supervisor only."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import AsyncExitStack
from typing import Any

import uvloop

from filterd import bootstrap, failpoints, log
from filterd.config import from_tree
from filterd.control import FD_VARIABLE, Control
from filterd.errors import FilterdError
from filterd.metrics import use_stable_identity
from filterd.server import Server
from filterd.supervisor import EXIT_CONFIG
from filterd.worker_process import FIRST_WORKER

EXIT_BROKEN = 70
"""EX_SOFTWARE of sysexits.h: the supervisor starts another one."""


def main() -> None:
    """Run until told to drain."""
    failpoints.arm(os.environ)
    sys.exit(uvloop.run(_run(int(os.environ.pop(FD_VARIABLE)))))


async def _run(control_fd: int) -> int:
    control = await Control.over(socket.socket(fileno=control_fd))
    order = await control.receive()
    if order is None:
        return 0
    use_stable_identity(order["worker"])
    try:
        config = from_tree(order["config"])
        log.configure(config.server.log_format, config.server.log_level, worker=order["worker"])
        async with AsyncExitStack() as stack:
            parts = await bootstrap.build_worker(config, stack, has_chores=order["worker"] == FIRST_WORKER)
            server = Server(parts=parts, control=control, drain_seconds=config.server.drain_timeout_seconds)
            return 0 if await server.run(_sockets(order["sockets"])) else EXIT_BROKEN
    except FilterdError as exc:
        control.send("failed", detail=exc.detail)
        return EXIT_CONFIG
    finally:
        await control.close()


def _sockets(listed: list[dict[str, Any]]) -> dict[str, list[socket.socket]]:
    sockets: dict[str, list[socket.socket]] = {}
    for each in listed:
        sock = socket.socket(fileno=each["fd"])
        sock.setblocking(False)
        sockets.setdefault(each["edge"], []).append(sock)
    return sockets


if __name__ == "__main__":
    main()

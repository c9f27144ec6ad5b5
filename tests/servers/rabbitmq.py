"""A private RabbitMQ on loopback, from Debian's unpacked packages: what Jasmin keeps its queues in.

Started without Debian's scripts, which ask for a user of its own and for root. Source: RabbitMQ's guide
"Configuration", environment variables; erl(1) and epmd(1).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import processes, unpacked
from tests.servers.gateway import wait_until
from tests.servers.ports import answers, free_port

_ROOT = "usr/lib/erlang"
_SERVER = "usr/lib/rabbitmq/bin/rabbitmq-server"


@contextmanager
def running(folder: Path) -> Iterator[int]:
    """The port of an empty broker, until the end of the block."""
    # Debian's link points into a folder with the version in its name.
    server = unpacked.program(_SERVER).resolve().parents[1]
    root = unpacked.program(f"{_ROOT}/bin/start_clean.boot").parents[1]
    (binaries,) = root.glob("erts-*/bin")
    port, names, peers = free_port(), free_port(), free_port()
    folder.mkdir()
    environment = unpacked.environment() | {
        "HOME": str(folder),
        "ROOTDIR": str(root),
        "BINDIR": str(binaries),
        "EMU": "beam",
        "PROGNAME": "erl",
        "ERL_LIBS": str(server / "plugins"),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_DIST_PORT": str(peers),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_NODENAME": "filterd@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_PLUGINS_DIR": str(server / "plugins"),
    }
    # One thread that sleeps when there is nothing to do: others need the processor.
    command = ["+S", "1", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"]
    command += ["-noinput", "-s", "rabbit", "boot", "-boot", "start_sasl", "-start_epmd", "false"]
    command += ["-kernel", "inet_dist_use_interface", "{127,0,0,1}"]
    command += ["-kernel", "inet_dist_listen_min", str(peers), "inet_dist_listen_max", str(peers)]
    with (
        processes.running([binaries / "epmd", "-port", str(names)], folder / "epmd.log", environment),
        processes.running([binaries / "erlexec", *command], folder / "rabbitmq.log", environment),
    ):
        wait_until(lambda: answers(port), "RabbitMQ", seconds=180)
        yield port

"""A private Jasmin for tests: bound to an SMS centre, with the snippets of ``deploy/jasmin``, RabbitMQ and Redis.

Needs what ``fetch.sh`` installed into ``.servers/jasmin``. Source: Jasmin 0.11, "jCli management console".
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from filterd.demo.embedded import free_ports
from tests.servers import processes, rabbitmq, unpacked
from tests.servers.gateway import wait_until
from tests.servers.ports import answers
from tests.servers.smpp_centre import Centre
from tests.servers.snippets import changed

ROOT = Path(__file__).parents[2]
SNIPPETS = ROOT / "deploy" / "jasmin"
INSTALLED = ROOT / ".servers" / "jasmin"
_PROTOCOL = INSTALLED / "txamqp/specs/standard/amqp0-9-1.stripped.xml"
_DAEMON = """
import signal, sys
from jasmin.bin.jasmind import JasminDaemon, Options
from twisted.internet import reactor
options = Options()
options.parseOptions(sys.argv[1:])
daemon = JasminDaemon(options)
signal.signal(signal.SIGTERM, daemon.sighandler_stop)
daemon.start()
reactor.run()
"""
"""What ``jasmind.py`` does, but for its lock in /tmp: one machine may run the tests twice."""
_FLAGS = ("--disable-http-api", "--enable-deliver-thrower")
_PROMPT = b"jcli : "
_PATIENCE_SECONDS = 60.0


def require() -> None:
    """Skip where Jasmin is not installed; in continuous integration, fail."""
    if _PROTOCOL.exists():
        return
    missing = "Jasmin is missing: run tests/servers/fetch.sh"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@contextmanager
def running(folder: Path, changes: Mapping[str, str]) -> Iterator[Centre]:
    """Jasmin until the end of the block, its snippets with ``changes`` made."""
    console, redis, router, connectors, applications, peers = free_ports(6)
    for needed in ("store", "var/log/jasmin", "etc/jasmin/store"):
        (folder / needed).mkdir(parents=True)
    both = "\0".join((SNIPPETS / name).read_text(encoding="utf-8") for name in ("jasmin.cfg", "filterd.jcli"))
    config, commands = changed(both, changes).split("\0")
    environment = unpacked.environment()
    with ExitStack() as stack:
        centre = stack.enter_context(Centre())
        program = unpacked.program("usr/bin/redis-server")
        redis_options = ("--port", str(redis), "--bind", "127.0.0.1", "--save", "")
        stack.enter_context(processes.running([program, *redis_options], folder / "redis.log", environment))
        broker = stack.enter_context(rabbitmq.running(folder / "rabbitmq"))
        wait_until(lambda: answers(redis), "Redis")
        path = folder / "jasmin.cfg"
        path.write_text(
            f"""{config}
[amqp-broker]
port = {broker}
spec = {_PROTOCOL}
[redis-client]
port = {redis}
[jcli]
bind = 127.0.0.1
port = {console}
authentication = False
[router]
bind = 127.0.0.1
port = {router}
[client-management]
bind = 127.0.0.1
port = {connectors}
[smpp-server]
bind = 127.0.0.1
port = {applications}
[smpp-server-pb]
bind = 127.0.0.1
port = {peers}
""",
            encoding="utf-8",
        )
        daemon = [sys.executable, "-c", _DAEMON, "-c", str(path), *_FLAGS]
        paths = {"PYTHONPATH": str(INSTALLED), "ROOT_PATH": str(folder)}
        stack.enter_context(processes.running(daemon, folder / "jasmin.log", environment | paths))
        wait_until(lambda: answers(console), "jCli")
        account = ("cid centre", "host 127.0.0.1", f"port {centre.port}", "username u", "password p", "ok")
        _type(console, ["smppccm -a", *account, *commands.splitlines(), "smppccm -1 centre"])
        yield centre


def _type(port: int, lines: Sequence[str]) -> None:
    """Type the lines into the console; one that it refuses fails the test."""
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_SECONDS) as console:
        for line in lines:
            console.sendall(line.encode("ascii") + b"\r\n")
            answer = _answer(console)
            assert not any(word in answer.lower() for word in ("error", "unknown", "incorrect", "failed")), answer


def _answer(console: socket.socket) -> str:
    """What the console says until it asks for more: its prompt, or an add's ``> ``."""
    said = b""
    while not said.endswith((_PROMPT, b"> ")):
        part = console.recv(4096)
        assert part, said
        said += part
    return said.decode("ascii", "replace")

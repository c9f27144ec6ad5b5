"""The daemon on embedded defaults: SQLite, the bundles in the package, everything on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FIRST_PORT, _PORTS = 20_000, 12_768
"""Up to 32,767, where Linux begins to give ports to clients (ip_local_port_range)."""
STARTUP_SECONDS = 60.0
"""Longest wait for the daemon to become ready; a cold disk loads libraries slowly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Loopback ports of one installation."""

    smtp: int
    http: int
    admin: int

    @classmethod
    def free(cls) -> Ports:
        """Three ports nothing listens on now."""
        smtp, http, admin = free_ports(3)
        return cls(smtp=smtp, http=http, admin=admin)


def free_ports(count: int) -> list[int]:
    """Loopback ports nothing listens on now, below those that the system gives to clients.

    Whoever knocks at one of the system's own while its server is away may be given that very port, and then talks to
    itself (RFC 9293 section 3.5, simultaneous open), while the server cannot have it back.
    """
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(found) < count:
            sock, port = stack.enter_context(socket.socket()), _FIRST_PORT + secrets.randbelow(_PORTS)
            with contextlib.suppress(OSError):
                sock.bind(("127.0.0.1", port))
                found.append(port)
    return found


def write_config(path: Path, ports: Ports, *, state: Path, next_hop: int, extra: str = "", workers: int = 0) -> None:
    """A configuration file with only what differs from the defaults; ``extra`` is TOML put at the end."""
    # A caller with settings of its own for the pages says where they are, too.
    web = "" if "[web]" in extra else f'[web]\npublic_url = "http://127.0.0.1:{ports.http}"\n\n'
    path.write_text(
        f"""\
[server]
workers = {workers}
state_dir = {json.dumps(str(state))}
http_listen = "127.0.0.1:{ports.http}"
admin_listen = "127.0.0.1:{ports.admin}"

[smtp]
listen = ["127.0.0.1:{ports.smtp}"]
hostname = "filter.demo.example"
next_hop = "127.0.0.1:{next_hop}"

{web}{extra}
""",
        encoding="utf-8",
    )


def environment(config: Path) -> dict[str, str]:
    """The environment every command about this installation runs in: the caller's without other settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FILTERD_")}
    return {**kept, "FILTERD_CONFIG": str(config)}


def command(config: Path, *arguments: str) -> str:
    """What ``filterd arguments`` prints; raises CalledProcessError when it fails."""
    done = subprocess.run(  # noqa: S603  # our own command with arguments of our own
        [sys.executable, "-m", "filterd.cli", *arguments],
        env=environment(config),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def administrator_link(config: Path) -> str:
    """A link that signs an administrator in, once, within a quarter of an hour."""
    names = [line.partition("\t")[0] for line in command(config, "account", "list").splitlines()]
    if "admin" not in names:
        command(config, "account", "add", "admin", "--role", "administrator")
    return command(config, "account", "link", "admin").strip()


@contextlib.contextmanager
def daemon(config: Path, ports: Ports, log: Path, *, is_ready_needed: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """``filterd serve`` until the end of the block, then drained; ready, or at least listening, when it begins."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # our own command
            [sys.executable, "-m", "filterd.cli", "serve"], env=environment(config), stdout=output, stderr=output
        )
    try:
        _wait_until(process, ports, log, "readyz" if is_ready_needed else "")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=STARTUP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def get(url: str) -> str:
    """The body of a page on loopback."""
    with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310  # loopback URLs made here
        body: bytes = response.read()
    return body.decode()


def _wait_until(process: subprocess.Popen[bytes], ports: Ports, log: Path, page: str) -> None:
    """Wait for the admin ``page``; where it is empty, for the SMTP port to answer."""
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if page:
                get(f"http://127.0.0.1:{ports.admin}/{page}")
            else:
                _greeting(ports.smtp)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the daemon did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")


def _greeting(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        if not peer.recv(3):
            raise ConnectionError("closed without a greeting")

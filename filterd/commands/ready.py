"""``filterd ready``: asks the daemon of this configuration what a load balancer or a container engine asks it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from typing import Any

import typer

from filterd.commands.config import ConfigOption
from filterd.errors import TemporaryError

_TIMEOUT_SECONDS = 4.0
"""Shorter than the health checks of deploy/ wait."""


def run(config: ConfigOption = None) -> None:
    """Ask the running daemon whether every worker listens, can score and reaches the database; exit 75 if not."""
    from filterd.commands import context

    address = context.read_config(config).server.admin_listen
    status = _asked(address)
    if not status["ready"]:
        raise TemporaryError(f"not ready: {', '.join(status['missing'])}")
    typer.echo("ready")


def is_running(address: str) -> bool:
    """Whether a daemon answers at that admin port, ready or not."""
    try:
        _asked(address)
    except TemporaryError:
        return False
    return True


def _asked(address: str) -> dict[str, Any]:
    """What ``/readyz`` says. Raises TemporaryError when nobody answers."""
    try:
        with contextlib.closing(http.client.HTTPConnection("localhost", timeout=_TIMEOUT_SECONDS)) as connection:
            connection.sock = _connected(address)
            connection.request("GET", "/readyz")
            status: dict[str, Any] = json.load(connection.getresponse())
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise TemporaryError(f"nothing answers at {address}: {exc}") from None
    return status


def _connected(address: str) -> socket.socket:
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(_TIMEOUT_SECONDS)
        try:
            sock.connect(address.removeprefix("unix:"))
        except OSError:
            sock.close()
            raise
        return sock
    host, _, port = address.rpartition(":")
    # A wildcard address leads to this machine (ip(7), ipv6(7)).
    return socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT_SECONDS)

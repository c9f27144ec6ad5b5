"""Loopback ports for servers that cannot choose one themselves."""

from __future__ import annotations

import socket

from filterd.demo.embedded import free_ports


def free_port() -> int:
    """A port nothing listens on now."""
    return free_ports(1)[0]


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0

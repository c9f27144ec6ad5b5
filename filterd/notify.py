"""Tells systemd how the daemon is doing. Source: sd_notify(3); no library needed for one datagram."""

from __future__ import annotations

import socket
from collections.abc import Mapping


class Notifier:
    """Sends states to ``$NOTIFY_SOCKET``; silent where there is none."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog_seconds = int(environ.get("WATCHDOG_USEC", "0") or 0) / 1e6

    def __call__(self, *states: str) -> None:
        """Send ``states`` (``READY=1`` ...) as one message. A systemd that does not listen is no reason to stop."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagram:
            try:
                datagram.sendto("\n".join(states).encode(), self._address)
            except OSError:
                return

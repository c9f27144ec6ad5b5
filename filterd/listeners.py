"""Binds every listening socket once, in the supervisor; the workers share the file descriptors.

One shared socket instead of one per worker with SO_REUSEPORT: when a worker dies, the connections still waiting
in its queue would be reset; in a shared queue another worker takes them. It works for unix sockets too.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filterd.errors import ConfigError
from filterd.settings import Config

BACKLOG = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One open listening socket."""

    edge: str
    """``smtp``, ``lmtp``, ``milter``, ``spamd``, ``rspamd``, ``http`` or ``admin``."""
    address: str
    """As the operator would write it, with the port really bound."""
    socket: socket.socket


def bind_all(config: Config) -> tuple[Listener, ...]:
    """Every socket the configuration names. Raises ConfigError, with the setting, for one that cannot be had."""
    wanted = [("smtp", "smtp.listen", address) for address in config.smtp.listen]
    wanted += [("lmtp", "lmtp.listen", address) for address in config.lmtp.listen]
    wanted += [("milter", "milter.listen", address) for address in config.milter.listen]
    wanted += [("spamd", "spamd.listen", address) for address in config.spamd.listen]
    wanted += [("rspamd", "rspamd.listen", address) for address in config.rspamd.listen]
    wanted += [("http", "server.http_listen", config.server.http_listen)] if config.server.http_listen else []
    wanted.append(("admin", "server.admin_listen", config.server.admin_listen))
    opened: list[Listener] = []
    try:
        for edge, key, address in wanted:
            opened += [Listener(edge=edge, address=_name(sock), socket=sock) for sock in _bind(key, address)]
    except ConfigError:
        close_all(opened)
        raise
    return tuple(opened)


def close_all(listeners: Iterable[Listener]) -> None:
    """Close the sockets and remove the files of those that have one."""
    for listener in listeners:
        listener.socket.close()
        if listener.address.startswith("unix:"):
            Path(listener.address.removeprefix("unix:")).unlink(missing_ok=True)


def _bind(key: str, address: str) -> list[socket.socket]:
    try:
        if address.startswith("unix:"):
            return [_bind_unix(Path(address.removeprefix("unix:")))]
        host, _, port = address.rpartition(":")
        found = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
        return [_bind_tcp(family, where) for family, _, _, _, where in found]
    except socket.gaierror as exc:
        raise ConfigError(f"{key}: {address}: {exc.strerror}") from None
    except OSError as exc:
        why = "address already in use" if exc.errno == errno.EADDRINUSE else exc.strerror or str(exc)
        raise ConfigError(f"{key}: cannot listen on {address}: {why}") from None


def _bind_tcp(family: int, where: tuple[object, ...]) -> socket.socket:
    # The protocol is named because uvloop compares it.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(where)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        sock.bind(str(path))
        path.chmod(0o660)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _remove_stale(path: Path) -> None:
    """Remove a socket file nobody listens on any more. Raises OSError when somebody does."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, "address already in use")


def _name(sock: socket.socket) -> str:
    where = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{where}"
    return f"[{where[0]}]:{where[1]}" if sock.family == socket.AF_INET6 else f"{where[0]}:{where[1]}"

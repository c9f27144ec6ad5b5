"""Listening sockets: bound once, with the setting named when they cannot be had."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from filterd.config import from_tree
from filterd.edge_settings import LmtpSettings
from filterd.errors import ConfigError
from filterd.listeners import bind_all, close_all
from filterd.settings import Config


def _config(*smtp: str, http: str = "") -> Config:
    return from_tree({"smtp": {"listen": smtp}, "server": {"http_listen": http, "admin_listen": "127.0.0.1:0"}})


def test_bind_all_opens_every_address_with_the_port_it_really_got() -> None:
    listeners = bind_all(_config("127.0.0.1:0", "[::1]:0", http="127.0.0.1:0"))
    try:
        assert [each.edge for each in listeners] == ["smtp", "smtp", "http", "admin"]
        assert [each.address.rpartition(":")[0] for each in listeners] == [
            "127.0.0.1",
            "[::1]",
            "127.0.0.1",
            "127.0.0.1",
        ]
        for each in listeners:
            host, _, port = each.address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            assert each.socket.proto == socket.IPPROTO_TCP
    finally:
        close_all(listeners)


def test_bind_all_names_the_edge_that_each_protocol_goes_to() -> None:
    """A socket of one protocol is never served by another's edge."""
    config = _config("127.0.0.1:0").model_copy(update={"lmtp": LmtpSettings(listen=("127.0.0.1:0",))})
    listeners = bind_all(config)
    close_all(listeners)

    assert [each.edge for each in listeners] == ["smtp", "lmtp", "admin"]


def test_bind_all_when_one_port_is_taken_names_the_setting_and_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
        probe.close()
        with pytest.raises(ConfigError, match=r"smtp\.listen: cannot listen on .*: address already in use"):
            bind_all(_config(f"127.0.0.1:{free}", f"127.0.0.1:{taken.getsockname()[1]}"))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", free), timeout=5)


def test_bind_all_when_the_host_is_unknown_names_the_setting() -> None:
    with pytest.raises(ConfigError, match=r"smtp\.listen: 192\.0\.2\.300:25: "):
        bind_all(_config("192.0.2.300:25"))


def test_unix_socket_when_left_over_is_replaced_and_when_in_use_is_not(tmp_path: Path) -> None:
    path = tmp_path / "smtp.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()

    listeners = bind_all(_config(f"unix:{path}"))
    try:
        assert path.stat().st_mode & 0o777 == 0o660
        with pytest.raises(ConfigError, match="address already in use"):
            bind_all(_config(f"unix:{path}"))
    finally:
        close_all(listeners)
    assert not path.exists()

"""One daemon for everything that only asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from filterd.demo.embedded import Ports
from tests.servers import gateway
from tests.servers.gateway import Gateway
from tests.servers.ports import free_port


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A daemon, and where it is asked."""

    filterd: Gateway
    spamd: int
    """Port of the spamd edge."""
    rspamd: int
    """Port of the rspamd edge, which believes labels that come with the password ``s3cret``."""


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """Started when the first test asks."""
    root, ports, spamd, rspamd = tmp_path_factory.mktemp("asked"), Ports.free(), free_port(), free_port()
    extra = f"""
[spamd]
listen = ["127.0.0.1:{spamd}"]
[rspamd]
listen = ["127.0.0.1:{rspamd}"]
learn_networks = []
password = "s3cret"
"""
    config = gateway.write_settings(root, ports, next_hop=free_port(), extra=extra)
    with gateway.running(root, config, ports) as filterd:
        yield Asked(filterd=filterd, spamd=spamd, rspamd=rspamd)

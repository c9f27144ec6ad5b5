"""How soon the daemon accepts its first message, what that costs, and the memory it then has.

``python -m tests.bench.start [rounds]``: two workers with the shipped models in front of Postfix's smtp-sink. Seconds
and processor seconds are counted from the start of the command to the 250 after the dot, and to readiness; memory is
the proportional set size (PSS) of all processes. The processor time is the figure to trust on a busy machine.
"""

from __future__ import annotations

import smtplib
import sys
import tempfile
import time
from pathlib import Path
from types import MappingProxyType

from filterd.demo.embedded import Ports, write_config
from tests.bench.systems import sink
from tests.servers import gateway, processes

_MAIL = "From: Ann <ann@example.org>\r\nSubject: agenda\r\n\r\nthe agenda for Monday\r\n"
_PAUSE_SECONDS = 0.01
_COMPILED = MappingProxyType({"PYTHONDONTWRITEBYTECODE": ""})
"""An installed daemon finds its modules compiled, also where tests are told to leave none behind."""


def _accepted(port: int) -> None:
    """Return once a message was accepted."""
    while True:
        try:
            with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=60) as client:
                client.sendmail("ann@example.org", ["bob@example.net"], _MAIL)
                return
        except (OSError, smtplib.SMTPException):
            time.sleep(_PAUSE_SECONDS)


def _start(next_hop: int) -> str:
    with tempfile.TemporaryDirectory(prefix="filterd-start-") as name:
        root, ports = Path(name), Ports.free()
        config = root / "filterd.toml"
        write_config(config, ports, state=root / "state", next_hop=next_hop, workers=2)
        began = time.perf_counter()
        with gateway.running(root, config, ports, environ=dict(_COMPILED), is_ready_needed=False) as ours:
            pid = ours.process.pid
            _accepted(ports.smtp)
            first = time.perf_counter() - began, processes.cpu_seconds(pid)
            gateway.wait_until(lambda: ours.admin("readyz")[0] == 200, "ready")
            ready = time.perf_counter() - began, processes.cpu_seconds(pid)
            memory = processes.memory_mb(pid)
    return (
        f"first message {first[0]:5.2f} s, {first[1]:5.2f} s CPU; "
        f"ready {ready[0]:5.2f} s, {ready[1]:5.2f} s CPU; PSS {memory:4.0f} MB\n"
    )


def main() -> None:
    """Start again and again, and print."""
    with sink() as next_hop:
        for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
            sys.stdout.write(_start(next_hop))
            sys.stdout.flush()


if __name__ == "__main__":
    main()

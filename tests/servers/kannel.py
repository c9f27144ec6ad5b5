"""A private Kannel for tests: bearerbox bound to an SMS centre, and smsbox with the snippet of ``deploy/kannel``."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from tests.servers import processes, unpacked
from tests.servers.gateway import wait_until
from tests.servers.ports import answers, free_port
from tests.servers.smpp_centre import Centre
from tests.servers.snippets import changed

SNIPPET = Path(__file__).parents[2] / "deploy" / "kannel" / "filterd.conf"


@contextmanager
def running(folder: Path, changes: Mapping[str, str]) -> Iterator[Centre]:
    """Both boxes until the end of the block, the snippet with ``changes`` made."""
    services = changed(SNIPPET.read_text(encoding="utf-8"), changes)
    admin, boxes = free_port(), free_port()
    config = folder / "kannel.conf"
    with ExitStack() as stack:
        centre = stack.enter_context(Centre())
        config.write_text(
            f"""
group = core
admin-port = {admin}
admin-interface = 127.0.0.1
admin-password = x
smsbox-port = {boxes}
smsbox-interface = 127.0.0.1
store-type = file
store-location = {folder}/store

group = smsc
smsc = smpp
smsc-id = centre
host = 127.0.0.1
port = {centre.port}
transceiver-mode = true
smsc-username = u
smsc-password = p
system-type = x

{services}
""",
            encoding="utf-8",
        )
        stack.enter_context(_box("bearerbox", config))
        wait_until(lambda: answers(boxes), "bearerbox")
        stack.enter_context(_box("smsbox", config))
        wait_until(lambda: "Connected to bearerbox" in (folder / "smsbox.log").read_text(), "smsbox")
        yield centre


def _box(name: str, config: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
    program = unpacked.program(f"usr/sbin/{name}")
    return processes.running([program, config], config.parent / f"{name}.log", unpacked.environment())

"""A private Exim in a temporary folder, on loopback, with the snippets of ``deploy/exim`` exactly as shipped.

Needs root, as Exim does to become its own user, and the files of Debian's package, from ``.servers/tree``. It was built
for a user of its own, which nss_wrapper makes up. Only ports are replaced in the snippets.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import spamc
from tests.servers.gateway import wait_until
from tests.servers.ports import answers, free_port

SNIPPETS = Path(__file__).parents[2] / "deploy/exim"
_MAIN = """
exim_path = {exim}
primary_hostname = mx.example.net
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/exim.pid
tls_advertise_hosts =
keep_environment = LD_LIBRARY_PATH : LD_PRELOAD : NSS_WRAPPER_PASSWD : NSS_WRAPPER_GROUP
add_environment = <; PATH=/usr/bin:/bin
daemon_smtp_ports = {port}
local_interfaces = <; 127.0.0.1
host_lookup =
rfc1413_hosts =
helo_accept_junk_hosts = *
never_users =
deliver_drop_privilege
timezone = UTC
acl_smtp_rcpt = accept
acl_smtp_data = acl_check_data
{main}
begin acl
acl_check_data:
{acl}
  accept
begin routers
next_hop:
  driver = manualroute
  route_data = 127.0.0.1
  self = send
  transport = next_hop
begin transports
next_hop:
  driver = smtp
  port = {destination}
  allow_localhost
begin retry
* * F,1h,1s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exim:
    """One running instance."""

    folder: Path
    port: int

    def log(self) -> str:
        """What it has logged."""
        return "".join(path.read_text(errors="replace") for path in sorted((self.folder / "log").glob("*log")))


def require() -> None:
    """Skip where Exim cannot run; fail instead under continuous integration."""
    missing = "" if os.geteuid() == 0 else "a private Exim needs root"
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    spamc.find("usr/sbin/exim4")
    _wrapper()


@contextmanager
def running(variant: str, *, filter_port: int, destination: int) -> Iterator[Exim]:
    """Exim with the snippets ``variant.main`` and ``variant.acl``, its mail handed to ``destination``."""
    require()
    folder = Path(tempfile.mkdtemp(prefix="filterd-exim-"))
    folder.chmod(0o755)
    exim = Exim(folder=folder, port=free_port())
    environ = _lay_out(exim, variant, filter_port, destination)
    command = [str(folder / "exim4"), "-C", str(folder / "exim.conf"), "-bdf", "-q1h"]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_until(lambda: process.poll() is not None or answers(exim.port), "Exim")
        assert process.poll() is None, (folder / "output").read_text() + exim.log()
        yield exim
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wrapper() -> Path:
    found = next((spamc.UNPACKED / "usr/lib").glob("*-linux-gnu*/libnss_wrapper.so"), None)
    return found or spamc.find("usr/lib/libnss_wrapper.so")


def _lay_out(exim: Exim, variant: str, filter_port: int, destination: int) -> dict[str, str]:
    """Write the configuration; the environment Exim runs in."""
    folder = exim.folder
    snippets = [(SNIPPETS / f"{variant}.{part}").read_text(encoding="utf-8") for part in ("main", "acl")]
    main, acl = (re.sub(r"\b783\b", str(filter_port), text) for text in snippets)
    # Without its setuid bit: that would take away where its libraries are.
    shutil.copyfile(spamc.find("usr/sbin/exim4"), folder / "exim4")
    (folder / "exim4").chmod(0o755)
    values = {"exim": folder / "exim4", "folder": folder, "port": exim.port, "destination": destination}
    (folder / "exim.conf").write_text(_MAIN.format(**values, main=main, acl=acl), encoding="utf-8")
    for name in ("spool", "log"):
        (folder / name).mkdir()
        os.chown(folder / name, _UID, _UID)
    (folder / "passwd").write_text(
        f"root:x:0:0::/root:/bin/sh\nDebian-exim:x:{_UID}:{_UID}::{folder}:/bin/false\nnobody:x:65534:65534::/:/bin/false\n"
    )
    (folder / "group").write_text(f"root:x:0:\nmail:x:8:\nDebian-exim:x:{_UID}:\nnogroup:x:65534:\n")
    return {
        "PATH": os.environ["PATH"],
        "LD_LIBRARY_PATH": spamc.libraries(),
        "LD_PRELOAD": str(_wrapper()),
        "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
        "NSS_WRAPPER_GROUP": str(folder / "group"),
    }


_UID = 8
"""Debian's ``mail``: the user that Exim becomes only has to be another one than root."""

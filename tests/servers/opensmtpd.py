"""A private OpenSMTPD on loopback with ``deploy/opensmtpd/smtpd.conf`` as shipped, but for ports and the last action.

It was built for accounts and folders of its own. As root it gets them in a mount namespace, which ends with its
processes: nothing of the machine is written.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import spamc
from tests.servers.gateway import wait_until
from tests.servers.ports import answers, free_port

SNIPPET = Path(__file__).parents[2] / "deploy/opensmtpd/smtpd.conf"
_MOUNTS = {"spool": "/var/spool", "lib": "/var/lib", "run": "/run", "passwd": "/etc/passwd", "group": "/etc/group"}
_ID = 880


def require() -> None:
    """Skip where OpenSMTPD cannot run; fail instead under continuous integration."""
    missing = "" if os.geteuid() == 0 else "a private OpenSMTPD needs root"
    if not missing and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        missing = "a private OpenSMTPD needs a mount namespace"
    if missing and os.environ.get("CI") == "true" and os.geteuid() != 0:
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    spamc.find("usr/sbin/smtpd")


@contextmanager
def running(*, filter_port: int, return_port: int, destination: int) -> Iterator[int]:
    """OpenSMTPD that has its mail filtered and then hands it to ``destination``; yields its public port."""
    require()
    folder, port = Path(tempfile.mkdtemp(prefix="filterd-opensmtpd-")), free_port()
    _lay_out(folder, port, filter_port, return_port, destination)
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-e", str(folder / "start")],
            env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": spamc.libraries()},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: process.poll() is not None or answers(port), "OpenSMTPD")
        assert process.poll() is None, (folder / "output").read_text()
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _lay_out(folder: Path, port: int, filter_port: int, return_port: int, destination: int) -> None:
    folder.chmod(0o755)
    (folder / "run").mkdir()
    for private in (folder / "lib/opensmtpd/empty", folder / "spool/smtpd"):
        private.mkdir(parents=True)
        private.chmod(0o711)
    for name, form in (("passwd", "{0}:x:{1}:{1}::/var/lib/opensmtpd/empty:/bin/false\n"), ("group", "{0}:x:{1}:\n")):
        known = Path(f"/etc/{name}").read_text(encoding="utf-8")
        own = (form.format(user, _ID + n) for n, user in enumerate(("opensmtpd", "opensmtpq")))
        (folder / name).write_text(known + "".join(own), encoding="utf-8")
    text = SNIPPET.read_text(encoding="utf-8")
    for shipped, private_one in (
        ("0.0.0.0 port 25\n", f"127.0.0.1 port {port}\n"),
        ("port 10026", f"port {return_port}"),
        ("smtp://127.0.0.1:10025", f"smtp://127.0.0.1:{filter_port}"),
        ('"deliver" maildir\n', f'"deliver" relay host smtp://127.0.0.1:{destination}\n'),
    ):
        text = text.replace(shipped, private_one)
    (folder / "smtpd.conf").write_text(text, encoding="utf-8")
    mounts = "".join(f"mount --bind {folder}/{name} {place}\n" for name, place in _MOUNTS.items())
    smtpd = spamc.find("usr/sbin/smtpd")
    (folder / "start").write_text(f"mount --make-rprivate /\n{mounts}exec {smtpd} -d -f {folder}/smtpd.conf\n")

"""A private Sendmail in a temporary folder, on loopback, with the snippet of ``deploy/sendmail`` exactly as shipped.

Needs root (Sendmail does) and the files of Debian's packages from ``.servers/tree``. Only ports are replaced in the
snippet. Nothing of the machine is read or changed; the processes end with the block.
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
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.gateway import wait_until
from tests.servers.ports import answers, free_port
from tests.servers.postfix import ROOT, UNPACKED

_PROGRAM = UNPACKED / "usr/libexec/sendmail/sendmail"
_MACROS = UNPACKED / "usr/share/sendmail/cf"

_MC = """\
divert(0)dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `mx.example.net')dnl
define(`QUEUE_DIR', `{folder}/queue')dnl
define(`confPID_FILE', `{folder}/pid')dnl
define(`STATUS_FILE', `{folder}/status')dnl
define(`ALIAS_FILE', `')dnl
define(`confCW_FILE', `-o {folder}/none')dnl
define(`confDEF_USER_ID', `mail:mail')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`confTO_IDENT', `0')dnl
define(`confLOG_LEVEL', `9')dnl
define(`SMART_HOST', `relay:[127.0.0.1]')dnl
define(`RELAY_MAILER_ARGS', `TCP $h {destination}')dnl
FEATURE(`nocanonify')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`relay_entire_domain')dnl
FEATURE(`promiscuous_relay')dnl
FEATURE(`no_default_msa')dnl
DAEMON_OPTIONS(`Name=MTA, Addr=127.0.0.1, Port={port}')dnl
{snippet}
MAILER(`smtp')dnl
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sendmail:
    """One running instance."""

    folder: Path
    port: int
    """Its public daemon."""

    def log(self) -> str:
        """What it has said on its standard error."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def held(self) -> list[Path]:
        """Control files of messages it holds for a milter."""
        return list((self.folder / "queue").glob("hf*"))


def require() -> None:
    """Skip where Sendmail cannot run; fail instead under continuous integration."""
    missing = ""
    if os.geteuid() != 0:
        missing = "a private Sendmail needs root"
    elif not (_PROGRAM.exists() and _MACROS.exists()):
        missing = "Sendmail is missing: run tests/servers/fetch.sh"
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


@contextmanager
def running(*, milter_port: int, return_port: int, destination: int) -> Iterator[Sendmail]:
    """Sendmail with the snippet."""
    require()
    folder = Path(tempfile.mkdtemp(prefix="filterd-sendmail-"))
    (folder / "queue").mkdir(mode=0o700)
    sendmail = Sendmail(folder=folder, port=free_port())
    libraries = ":".join(str(path) for path in (UNPACKED / "usr/lib").glob("*-linux-gnu*"))
    environ = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": libraries}
    snippet = (ROOT / "deploy/sendmail/filterd.mc").read_text(encoding="utf-8")
    snippet = snippet.replace("10027", str(milter_port)).replace("10026", str(return_port))
    source = _MC.format(folder=folder, port=sendmail.port, destination=destination, snippet=snippet)
    (folder / "sendmail.mc").write_text(source, encoding="utf-8")
    _make(folder, environ)
    with (folder / "log").open("wb") as log:
        # In the foreground, so that it is a child of ours, and a session of its own, so that its children end with it.
        # Under a host name of its own: it sleeps for a minute where the machine's has no domain.
        process = subprocess.Popen(
            ["unshare", "--uts", "sh", "-c", 'hostname mx.example.net; exec "$@"', "sh", *_command(folder)],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: process.poll() is not None or (answers(sendmail.port) and answers(return_port)), "Sendmail")
        assert process.poll() is None, sendmail.log()
        yield sendmail
    finally:
        _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def _command(folder: Path) -> tuple[str, ...]:
    return (str(_PROGRAM), "-C", str(folder / "sendmail.cf"), "-bD", "-q1s")


def _make(folder: Path, environ: dict[str, str]) -> None:
    """Make ``sendmail.cf`` of ``sendmail.mc``."""
    m4 = UNPACKED / "usr/bin/m4"
    with (folder / "sendmail.cf").open("wb") as made:
        subprocess.run(
            [m4 if m4.exists() else "m4", "-D_CF_DIR_=../", "../m4/cf.m4", folder / "sendmail.mc"],
            cwd=_MACROS / "cf",
            env=environ,
            stdout=made,
            stderr=subprocess.DEVNULL,
            check=True,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole session that was started here; its files go too, so there is nothing to finish."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
